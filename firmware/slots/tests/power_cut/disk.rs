//! A disk that keeps its word and not a byte more: what was synced is there after a power cut; of what was not, any part is.

use engawa_slots::files::{Files, Look};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor};
use std::rc::Rc;

#[derive(Clone, Default, Debug)]
struct Inode {
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
    mode: u32,
}

#[derive(Clone, Debug)]
enum Move {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

type Names = BTreeMap<String, usize>;

/// Files as they are seen, and as they would be after a cut.
#[derive(Clone, Default, Debug)]
pub(crate) struct Disk {
    inodes: Vec<Inode>,
    seen: Names,
    durable: Names,
    /// By the folder whose sync settles it.
    moves: Vec<(String, Move)>,
}

/// What a cut has left: names, contents, permissions.
pub(crate) type Image = BTreeMap<String, (Vec<u8>, u32)>;

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A folder is a name of its own kind, so that it can be lost like a file's.
fn folder_name(name: &str) -> String {
    format!("{name}/")
}

impl Inode {
    fn content(&self) -> Vec<u8> {
        self.pending.iter().fold(self.durable.clone(), |content, write| laid(&content, write))
    }

    /// Every content that a cut may leave.
    fn contents(&self) -> BTreeSet<Vec<u8>> {
        let mut contents = BTreeSet::from([self.durable.clone()]);
        for write in &self.pending {
            let new: Vec<Vec<u8>> = contents.iter().flat_map(|old| torn(old, write)).collect();
            contents.extend(new);
        }
        contents
    }
}

fn laid(old: &[u8], (at, bytes): &(usize, Vec<u8>)) -> Vec<u8> {
    let mut new = old.to_vec();
    new.resize(new.len().max(at + bytes.len()), 0);
    new[*at..at + bytes.len()].copy_from_slice(bytes);
    new
}

/// Whole, or torn in the middle of what differs, either half of it on the disk.
fn torn(old: &[u8], write: &(usize, Vec<u8>)) -> Vec<Vec<u8>> {
    let whole = laid(old, write);
    let mut before = old.to_vec();
    before.resize(whole.len(), 0);
    let differs = |index: &usize| before[*index] != whole[*index];
    let (Some(first), Some(last)) = ((0..whole.len()).find(differs), (0..whole.len()).rev().find(differs))
    else {
        return vec![whole];
    };
    let middle = (first + last).div_ceil(2);
    let mut head = whole[..middle].to_vec();
    head.extend_from_slice(&old[middle.min(old.len())..]);
    let mut tail = before[..middle].to_vec();
    tail.extend_from_slice(&whole[middle..]);
    vec![whole, head, tail]
}

fn moved(names: &mut Names, step: &Move) {
    match step {
        Move::Link(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        Move::Unlink(name) => {
            names.remove(name);
        }
        Move::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}

impl Disk {
    /// A disk with nothing under way.
    pub(crate) fn of(image: &Image) -> Self {
        let mut disk = Self::default();
        for (name, (content, mode)) in image {
            disk.seen.insert(name.clone(), disk.inodes.len());
            disk.inodes.push(Inode { durable: content.clone(), pending: Vec::new(), mode: *mode });
        }
        disk.durable = disk.seen.clone();
        disk
    }

    fn step(&mut self, folder: &str, step: Move) {
        moved(&mut self.seen, &step);
        self.moves.push((folder.to_owned(), step));
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        if name.is_empty() || self.seen.contains_key(&folder_name(name)) {
            let (settled, left) =
                std::mem::take(&mut self.moves).into_iter().partition(|(folder, _)| folder == name);
            self.moves = left;
            for (_, step) in Vec::from_iter::<Vec<(String, Move)>>(settled) {
                moved(&mut self.durable, &step);
            }
            return Ok(());
        }
        let inode = &mut self.inodes[*self.seen.get(name).ok_or(io::ErrorKind::NotFound)?];
        inode.durable = inode.content();
        inode.pending.clear();
        Ok(())
    }

    /// Every image that a cut now may leave.
    pub(crate) fn cuts(&self) -> BTreeSet<Image> {
        let mut all_names = BTreeSet::from([self.durable.clone()]);
        for (_, step) in &self.moves {
            let new: Vec<Names> = all_names
                .iter()
                .map(|names| {
                    let mut names = names.clone();
                    moved(&mut names, step);
                    names
                })
                .collect();
            all_names.extend(new);
        }
        let contents: Vec<BTreeSet<Vec<u8>>> = self.inodes.iter().map(Inode::contents).collect();
        let mut images = BTreeSet::new();
        for mut names in all_names {
            let there: BTreeSet<String> = names.keys().filter(|name| name.ends_with('/')).cloned().collect();
            names.retain(|name, _| {
                folder_of(name.trim_end_matches('/')).is_empty()
                    || there.contains(&folder_name(folder_of(name)))
            });
            let mut partial = vec![Image::new()];
            for (name, inode) in &names {
                let mode = self.inodes[*inode].mode;
                partial = partial
                    .into_iter()
                    .flat_map(|image| {
                        contents[*inode].iter().map(move |content| {
                            let mut image = image.clone();
                            image.insert(name.clone(), (content.clone(), mode));
                            image
                        })
                    })
                    .collect();
            }
            images.extend(partial);
        }
        images
    }
}

/// The disk, as programs see it; a snapshot before each of their steps.
#[derive(Clone, Default)]
pub(crate) struct Model<E> {
    inner: Rc<RefCell<Inner<E>>>,
}

#[derive(Default)]
struct Inner<E> {
    disk: Disk,
    expect: E,
    /// Who writes: syncs are told apart by it.
    phase: &'static str,
    /// A sync that does nothing: `phase:name`.
    without: Option<String>,
    snapshots: Vec<(Disk, E)>,
    /// Every sync that was asked for.
    syncs: BTreeSet<String>,
}

impl<E: Clone + Default> Model<E> {
    pub(crate) fn new(disk: Disk, expect: E, without: Option<&str>) -> Self {
        let inner = Inner { disk, expect, without: without.map(str::to_owned), ..Inner::default() };
        Self { inner: Rc::new(RefCell::new(inner)) }
    }

    pub(crate) fn phase(&self, phase: &'static str) {
        self.inner.borrow_mut().phase = phase;
    }

    /// What holds from now on, whatever is cut.
    pub(crate) fn expect(&self, change: impl FnOnce(&mut E)) {
        change(&mut self.inner.borrow_mut().expect);
    }

    /// The moments at which the power may be cut: before each step, and after the last one.
    pub(crate) fn moments(&self) -> Vec<(Disk, E)> {
        let inner = self.inner.borrow();
        let last = (inner.disk.clone(), inner.expect.clone());
        inner.snapshots.iter().cloned().chain([last]).collect()
    }

    pub(crate) fn disk(&self) -> Disk {
        self.inner.borrow().disk.clone()
    }

    pub(crate) fn syncs(&self) -> BTreeSet<String> {
        self.inner.borrow().syncs.clone()
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        let mut inner = self.step();
        let folder = folder_of(from).to_owned();
        inner.disk.step(&folder, Move::Rename(from.to_owned(), to.to_owned()));
    }

    fn step(&self) -> std::cell::RefMut<'_, Inner<E>> {
        let mut inner = self.inner.borrow_mut();
        let snapshot = (inner.disk.clone(), inner.expect.clone());
        inner.snapshots.push(snapshot);
        inner
    }
}

pub(crate) struct Reader {
    content: Cursor<Vec<u8>>,
    look: Look,
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.content.read(buffer)
    }
}

impl<E: Clone + Default> Files for Model<E> {
    type Reader = Reader;

    fn open(&self, name: &str) -> io::Result<Reader> {
        let inner = self.inner.borrow();
        let inode = &inner.disk.inodes[*inner.disk.seen.get(name).ok_or(io::ErrorKind::NotFound)?];
        let content = inode.content();
        let look = Look { size: content.len() as u64, mode: inode.mode, stamp: (0, 0, 0, 0) };
        Ok(Reader { content: Cursor::new(content), look })
    }

    fn look(&self, file: &Reader) -> io::Result<Look> {
        Ok(file.look)
    }

    fn write(&self, name: &str, at: u64, bytes: &[u8], mode: u32) -> io::Result<()> {
        let disk = &mut self.step().disk;
        let folder = folder_of(name);
        if !folder.is_empty() && !disk.seen.contains_key(&folder_name(folder)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inode = match disk.seen.get(name) {
            Some(inode) => *inode,
            None => {
                disk.inodes.push(Inode { mode, ..Inode::default() });
                let inode = disk.inodes.len() - 1;
                disk.step(folder, Move::Link(name.to_owned(), inode));
                inode
            }
        };
        disk.inodes[inode].pending.push((usize::try_from(at).map_err(io::Error::other)?, bytes.to_vec()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let disk = &mut self.step().disk;
        if disk.seen.contains_key(name) {
            disk.step(folder_of(name), Move::Unlink(name.to_owned()));
        }
        Ok(())
    }

    fn make_folder(&self, name: &str) -> io::Result<()> {
        let disk = &mut self.step().disk;
        if !disk.seen.contains_key(&folder_name(name)) {
            disk.inodes.push(Inode::default());
            let inode = disk.inodes.len() - 1;
            disk.step("", Move::Link(folder_name(name), inode));
        }
        Ok(())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let mut inner = self.step();
        let label = format!("{}:{name}", inner.phase);
        let left_out = inner.without.as_ref() == Some(&label);
        inner.syncs.insert(label);
        if left_out { Ok(()) } else { inner.disk.sync(name) }
    }
}
