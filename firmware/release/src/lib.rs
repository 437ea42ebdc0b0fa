//! What a release is made of: its manifest, its chunks, its patches. Pure; both ends.
