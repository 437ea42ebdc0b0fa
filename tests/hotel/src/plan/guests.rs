//! Who the guests are: invented names in several scripts, with the language codes that FIAS uses (field GL).

use super::Guest;
use crate::random::Random;

/// Name, first name, title, language.
const PEOPLE: [(&str, &str, &str, &str); 20] = [
    ("Köhler", "Jörg", "Herr", "GE"),
    ("O'Brien", "Maeve", "Ms", "EA"),
    ("Núñez-Río", "Inés", "Sra", "SP"),
    ("Lefèvre", "Zoé", "Mme", "FR"),
    ("佐藤", "花子", "様", "JA"),
    ("ポール", "健", "様", "JA"),
    ("弓削", "直", "様", "JA"),
    ("de la Tour, Jr.", "Luc", "M.", "FR"),
    ("Bianchi", "Ada", "Sig.ra", "IT"),
    ("Smith", "John", "Mr", "EA"),
    ("van 't Hoff", "Bram", "Dhr", "NL"),
    ("Ünal", "Deniz", "", "TR"),
    ("Li", "X", "", "EA"),
    ("Håkansson", "Åsa", "Fru", "SV"),
    ("Wolfeschlegelsteinhausenbergerdorff", "Hubert", "Dr", "GE"),
    ("Novák", "Jiří", "pan", "CS"),
    ("Sato", "Ken", "Mr", "EA"),
    ("Brown ", "Ann", "Mrs", "EA"),
    ("García", "José", "Sr", "SP"),
    ("Müller", "Eva", "Frau", "GE"),
];

/// The guest with reservation number `stay`.
pub(super) fn guest(random: &mut Random, stay: u64) -> Guest {
    let (name, first_name, title, language) = *random.pick(&PEOPLE);
    Guest { stay: stay.to_string(), name, first_name, title, language, no_post: random.chance(6) }
}
