//! A guest's language, as systems tell it, as a BCP 47 tag: pure.
//!
//! Stricter than the grammar of RFC 5646, which takes any name of five to eight letters for a language that may be
//! registered one day. A language leaves the house, so it is one of ISO 639-1, with a script and a region of ISO 15924
//! and 3166 where they are told, and nothing else: a PMS that was set up badly puts names into its place.

/// ISO 639-1.
const LANGUAGES: &str = "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv \
    dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it \
    iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb \
    nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss \
    st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu";

/// What systems send in place of ISO 639-1: the codes of ISO 639-2 of languages that guests of hotels speak, those that
/// were withdrawn, and countries that are taken for languages.
const OTHER_CODES: &str = "afr=af alb=sq sqi=sq amh=am ara=ar arm=hy hye=hy aze=az baq=eu eus=eu bel=be ben=bn bos=bs bul=bg \
    bur=my mya=my cat=ca chi=zh zho=zh cze=cs ces=cs dan=da dut=nl nld=nl eng=en est=et fas=fa per=fa fil=tl fin=fi \
    fra=fr fre=fr geo=ka kat=ka ger=de deu=de gle=ga glg=gl gre=el ell=el guj=gu heb=he hin=hi hrv=hr hun=hu ice=is \
    isl=is ind=id ita=it jpn=ja kan=kn kaz=kk khm=km kor=ko kur=ku lao=lo lav=lv lit=lt ltz=lb mac=mk mkd=mk mal=ml \
    mar=mr may=ms msa=ms mlt=mt mon=mn nep=ne nor=no nob=nb nno=nn pan=pa pol=pl por=pt roh=rm ron=ro rum=ro rus=ru \
    sin=si slk=sk slo=sk slv=sl som=so spa=es srp=sr swa=sw swe=sv tam=ta tel=te tha=th tur=tr ukr=uk urd=ur uzb=uz \
    vie=vi wel=cy cym=cy yid=yi zul=zu iw=he in=id ji=yi jw=jv mo=ro sh=sr jp=ja cn=zh cz=cs dk=da gr=el";

/// ISO 15924, as far as languages are told with them.
const SCRIPTS: &str = "Arab Armn Beng Cyrl Deva Ethi Geor Grek Gujr Guru Hang Hans Hant Hebr Jpan Khmr Knda Kore Laoo Latn Mlym \
    Mong Mymr Orya Sinh Taml Telu Thaa Thai Tibt";

/// ISO 3166-1, and the regions of the United Nations that languages are told with.
const REGIONS: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV \
    BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM \
    FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM \
    JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR \
    MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS \
    RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ \
    UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW 001 150 419";

/// The entry of a list that is `word`, in the list's own letters.
fn entry(list: &'static str, word: &str) -> Option<&'static str> {
    list.split_ascii_whitespace().find(|entry| entry.eq_ignore_ascii_case(word))
}

/// `text` as a language, with a script and a region where they are told; `None` where it is none.
pub(crate) fn tag(text: &str) -> Option<String> {
    let mut parts = text.trim().split(['-', '_']).peekable();
    let first = parts.next()?;
    let other = || {
        let mut codes = OTHER_CODES.split_ascii_whitespace().filter_map(|pair| pair.split_once('='));
        codes.find(|(code, _)| code.eq_ignore_ascii_case(first)).map(|(_, language)| language)
    };
    let mut tag = entry(LANGUAGES, first).or_else(other)?.to_owned();
    for list in [SCRIPTS, REGIONS] {
        if let Some(part) = parts.peek().and_then(|part| entry(list, part)) {
            tag = format!("{tag}-{part}");
            parts.next();
        }
    }
    // Variants and extensions (`ca-ES-valencia`) say nothing to a hotel. What looks like none makes the whole no tag.
    let sound = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    parts.all(sound).then_some(tag)
}

/// The language of GL (FIAS 2.20, code tables): three of its codes are its own; a site may set up others.
pub(crate) fn of_fias(code: &str) -> Option<String> {
    match code.trim() {
        "EA" => Some("en".to_owned()),
        "GE" => Some("de".to_owned()),
        "SP" => Some("es".to_owned()),
        other => tag(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_in_the_forms_that_systems_send() {
        for (text, want) in [
            ("de", "de"),
            ("DE", "de"),
            (" JA ", "ja"),
            ("pt_BR", "pt-BR"),
            ("EN-us", "en-US"),
            ("zh-hant-tw", "zh-Hant-TW"),
            ("zh-Hans", "zh-Hans"),
            ("es-419", "es-419"),
            ("ENG", "en"),
            ("ger-AT", "de-AT"),
            ("JP", "ja"),
            ("iw", "he"),
            ("ca-ES-valencia", "ca-ES"),
            ("de-DE-u-co-phonebk", "de-DE"),
        ] {
            assert_eq!(tag(text).as_deref(), Some(want), "{text}");
        }
        for (code, want) in
            [("EA", "en"), ("GE", "de"), ("SP", "es"), ("JA", "ja"), ("FR", "fr"), ("IT", "it")]
        {
            assert_eq!(of_fias(code).as_deref(), Some(want), "{code}");
        }
        assert_eq!(tag("EA"), None, "a code of FIAS alone");
    }

    #[test]
    fn a_name_is_no_language() {
        for name in [
            "Sato",
            "SATO",
            "Tanaka",
            "Müller",
            "Lee",
            "Kim",
            "Xi",
            "O'Neil",
            "de Boer",
            "de-",
            "-de",
            "E",
            "",
            " ",
            "佐藤",
            "Guest, Mr.",
            "en US",
            "de;q=1",
            "enz",
            "Garcia-Lopez",
            "en-Überall",
            "de--AT",
            "4711",
        ] {
            assert_eq!(of_fias(name), None, "{name}");
        }
        // What follows a language is kept where it is a script or a region, and never as it came.
        assert_eq!(tag("de-Tanaka").as_deref(), Some("de"));
    }

    #[test]
    fn every_list_is_of_its_form() {
        let sound = |list: &str, form: fn(&str) -> bool| list.split_ascii_whitespace().all(form);
        assert!(sound(LANGUAGES, |it| it.len() == 2 && it.bytes().all(|b| b.is_ascii_lowercase())));
        assert!(sound(SCRIPTS, |it| it.len() == 4));
        assert!(sound(REGIONS, |it| matches!(it.len(), 2 | 3) && !it.bytes().any(|b| b.is_ascii_lowercase())));
        assert!(sound(OTHER_CODES, |it| it.split_once('=').is_some_and(|(code, language)| entry(
            LANGUAGES, code
        )
        .is_none()
            && entry(LANGUAGES, language).is_some())));
    }
}
