//! Damage of each kind, and correct text that resembles it.
use proptest::prelude::*;

use super::*;

/// The text that a program sees which decodes UTF-8 as Windows-1252.
fn damaged(text: &str) -> String {
    text.bytes().map(|byte| windows_1252(char::from(byte))).collect()
}

fn damaged_as_latin_1(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

#[test]
fn letters_before_a_no_break_space_stay() {
    for text in ["Å\u{a0}lese er gøy", "fra A til Å\u{a0}og", "Ä\u{a0}och Ö"] {
        assert_eq!(repair_encoding(text), text);
    }
}

#[test]
fn damage_is_repaired() {
    for text in [
        "It’s a café mug",
        "“good dog”! They’re — truly – crème brûlée… jalapeño, naïve, décor",
        "£5, 45°, 1½ cups, ±2, Duraclad®, BRAND® NAME, ©2014, Exo-Guard™, 5 µm, «oui»",
        "tête-à-tête, à la carte, voilà",
        "Öl, Ärmel, über, München, JÓZEF, José, São Paulo, LLADRÓ",
        "4×4in, 35 ℃, ● dot, ★★★, ✔ done, → next, € 5, 5 €",
        "cœur, œuvre, Kościuszko",
        "😀 fun ❤️ 🎁🎁",
        "Привет, мир",
        "漢字かな",
        "（Support Passive PoE）",
        "a\u{a0}b \u{a0} BRAND\u{a0}c",
        "Tiếng Việt, Người, một, với, vừa, từ",
        "świat, sąd, ışık",
        "și țară în oraș",
    ] {
        for level in [damaged(text), damaged_as_latin_1(text)] {
            assert_eq!(repair_encoding(&level), text, "{level}");
            // Damaged once more.
            assert_eq!(repair_encoding(&damaged(&level)), text, "{}", damaged(&level));
        }
    }
}

#[test]
fn correct_text_stays() {
    for text in [
        "",
        "plain",
        "SÃO PAULO printed on it, Ã la carte",
        "MAÇÃ® and MAÇÃ™, “MAÇÃ”, «IRMÃ», MAÇÃ’s, “IRMÃ”… ‘LÃ’ MANHÃ… CORAÇÃO",
        "the letters “Ã”, «Â», (Ã…) and ‘Â’, as in ROMÂNIA or CHÂTEAU",
        "“café”… ‘fiancé’… voilà»… “déjà” – à… pâ”… É”, CAFÉ™",
        "Ångström, “Å”, Ä…, ÅÄÖ",
        "Été à Noël, façade — naïve… «garçon»",
        "¿Qué? ¡Olé! 5° ½ ® ™ é® É™ ñ… ü”",
        "«olá»… «acá»” «está» †, È…bello",
        "‚Ärmel‘ √ 5 √ © ✓",
        "«allá»—dijo, «más allá»¿Qué? «está»™ «Canadá»«Panamá»",
        "cioÈ… perchÈ” caffÈ® Æ–type kcal/Å·mol",
        "wellâ€known, twentyâ€five",
        "HÂLÂ VE, Ă,Â và Ê, a,Â e, chữ Â và ( Â ), LÃ e MAÇÃ de SÃO, Â la, Romania. Â",
    ] {
        assert!(matches!(repair_encoding(text), Cow::Borrowed(_)), "{text} -> {}", repair_encoding(text));
    }
}

#[test]
fn single_cases() {
    for (damaged, wanted) in [
        // The last byte of `”` is lost.
        ("â€œAsian-Cajunâ€ rice", "“Asian-Cajun” rice"),
        ("a lone â€ stays", "a lone â€ stays"),
        ("19â€\u{fffd} x 30â€\u{fffd}", "19” x 30”"),
        ("â€œquotedâ€\u{fffd} text â€", "“quoted” text â€"),
        // That of `’` is lost.
        ("Menâ€s and â€œMenâ€s hatâ€", "Men’s and “Men’s hat”"),
        ("PÅ\u{99}í", "Pří"),
        ("qual è\u{85}\u{94} disse", "qual è…” disse"),
        ("o que é\u{85}", "o que é…"),
        ("\u{84}Ä\u{93}", "„Ä“"),
        ("byÅ\u{82} Viá»\u{87}t, Viá»‡t", "był Việt, Việt"),
        // The no-break space of a sequence became a plain one.
        ("softÂ and warm. Soft.Â  Next, 10Â cm (new)Â it", "soft and warm. Soft.  Next, 10 cm (new) it"),
        ("voilÃ  le cafÃ©Â noir", "voilà  le café noir"),
        ("softÃ‚Â\u{a0}and 10Ã‚ cm", "soft\u{a0}and 10 cm"),
        // Windows-1252 that was taken for Latin-1 first.
        ("OÂ\u{92}Neill Â\u{93}must haveÂ\u{94}", "O’Neill “must have”"),
        ("OÂ’Neill", "O’Neill"),
        // A Macintosh wrote it.
        ("protÂ\u{8e}gÂ\u{8e}e", "protégée"),
        ("It‚Äôs a caf√© ‚Äú‚Äì‚Ä¶‚Äù", "It’s a café “–…”"),
        // Not certain: another code page, or a part is lost.
        ("MayÔ¨Çower", "MayÔ¨Çower"),
        ("phoneï¾’s", "phoneï¾’s"),
        ("oliveÃâ‚¬â„s", "oliveÃâ‚¬â„s"),
        // Correct characters next to damage.
        ("Barronï¿½s “café” dÃ©cor", "Barron\u{fffd}s “café” décor"),
    ] {
        assert_eq!(repair_encoding(damaged), wanted);
    }
}

#[test]
fn control_characters_past_ascii_are_those_of_windows() {
    for (text, wanted) in [
        ("Eel bars don\u{92}t snag", "Eel bars don’t snag"),
        ("Prize\u{96}winning bioethics\u{97}providing a view\u{85}and", "Prize–winning bioethics—providing a view…and"),
        ("\u{93}more\u{94} \u{91}Rocket 88\u{92}. \u{95} one", "“more” ‘Rocket 88’. • one"),
        ("\u{80}5 dog\u{99} c\u{9c}ur, \u{8a}ibenik, 10\u{89}", "€5 dog™ cœur, Šibenik, 10‰"),
        // A word may end in a letter that begins a sequence.
        ("\u{93}CAFÉ\u{94} the fiancé\u{94}\u{97}Ek, the CAFÉ\u{92}s", "“CAFÉ” the fiancé”—Ek, the CAFÉ’s"),
        ("KÖNIG\u{96} SMÅ\u{94}, naïve\u{85}", "KÖNIG– SMÅ”, naïve…"),
        // The first byte is lost.
        ("Giants and A\u{80}\u{99}s \u{80}¢ Features", "Giants and A’s • Features"),
        ("timeâ\u{80}â\u{80}.the", "timeâ€â€.the"),
        // Other code pages.
        ("a clich\u{82} of Armenti\u{8f}res", "a cliché of Armentières"),
        // No character of Windows-1252.
        ("one\u{81}\u{90}two \u{9d}three\u{90}, four", "one two three, four"),
        ("\u{90}", ""),
    ] {
        assert_eq!(repair_encoding(text), wanted);
    }
}

#[test]
fn clean_repairs_text_around_its_other_steps() {
    for (raw, wanted) in [
        ("It&acirc;&#128;&#153;s chipped", "It’s chipped"),
        ("It&amp;acirc;&amp;#128;&amp;#153;s chipped", "It’s chipped"),
        ("donâ\u{80}\u{99}t <b>cafÃ©</b>", "don’t café"),
        ("tÃªte-Ã\u{a0}-tÃªte", "tête-à-tête"),
        ("18.9â\u{80}\u{9d} (H)", "18.9” (H)"),
        ("caf&Atilde;&copy;", "café"),
        ("cafÃ\u{1}©", "café"),
        ("Viá»\u{87}t â\u{80}<b>\u{99}</b>", "Việt ’"),
        ("Ã&nbsp; la carte", "à la carte"),
        ("SÃO PAULO printed on it, Ã la carte", "SÃO PAULO printed on it, Ã la carte"),
    ] {
        let mut text = String::new();
        crate::clean::clean(raw, &mut text);
        assert_eq!(text, wanted);
    }
}

proptest! {
    #[test]
    fn clean_text_stays(raw in "[ÂÃâ€™”“œ©\u{80}-\u{bf}É&;<a-c]{0,40}") {
        let mut text = String::new();
        crate::clean::clean(&raw, &mut text);
        let mut again = String::new();
        crate::clean::clean(&text, &mut again);
        prop_assert_eq!(again, text);
    }

    #[test]
    fn repaired_text_stays(text in prop_oneof![
        any::<String>(),
        "[ÂÃâ€™”“œ©ð\u{80}-\u{bf}É a-c]{0,40}",
        "[éàâêîôûçñü’“”… a-z]{0,30}".prop_map(|text| damaged(&damaged(&text))),
    ]) {
        let repaired = repair_encoding(&text);
        prop_assert_eq!(&repair_encoding(&repaired), &repaired);
    }

    #[test]
    fn lower_case_words_are_repaired(text in "[a-z][éàâêîôûçñü]?[a-z’–—]{0,4}( [a-zéèü]{1,6}){0,5}") {
        let damaged = damaged(&text);
        prop_assert_eq!(&*repair_encoding(&damaged), &text);
        prop_assert_eq!(&*repair_encoding(&text), &text);
    }

    #[test]
    fn ascii_stays(text in "[ -~]{0,60}") {
        prop_assert!(matches!(repair_encoding(&text), Cow::Borrowed(_)));
    }
}

#[test]
fn time_is_near_linear() {
    for piece in [
        "Ã",
        "Ã©",
        "Ãƒ",
        "â€",
        "â€œ",
        "Ð¿",
        "ï¿½",
        "é",
        "é”…",
        "Ãƒâ€šÃ‚Â°",
        "ðŸ˜€",
        "\u{92}",
        "Ã\u{81}",
        "‚Äô",
        "‚Ä",
        "a√©",
    ] {
        let text = piece.repeat((1 << 20) / piece.len());
        let start = std::time::Instant::now();
        let _ = repair_encoding(&text);
        assert!(start.elapsed().as_secs() < 10, "{piece}: {:?}", start.elapsed());
    }
}
