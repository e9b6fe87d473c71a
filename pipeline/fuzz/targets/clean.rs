//! HTML cleaning: any text gives tidy lines in bounded time. To clean them once more changes nothing, unless
//! markup was nested or escaped deeper than the rounds go.
#![no_main]
use ebert_dumps::clean::{clean, clean_line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let raw = String::from_utf8_lossy(data);
    let mut text = String::from("kept");
    clean(&raw, &mut text);
    let text = text.strip_prefix("kept").expect("what was there stays");
    for line in text.split('\n').filter(|_| !text.is_empty()) {
        assert!(!line.is_empty() && line.trim() == line, "{line:?}");
        let mut before = 'x';
        for c in line.chars() {
            assert!(!c.is_control(), "{c:?}");
            assert!(!c.is_whitespace() || c == ' ' && before != ' ', "{line:?}");
            before = c;
        }
    }
    let mut title = String::new();
    clean_line(&raw, &mut title);
    assert!(!title.contains('\n'));
    // Without markup and entities the two differ in line breaks alone, and there is nothing left to do.
    if !raw.contains(['<', '&']) {
        assert_eq!(title, text.replace('\n', " "));
        let mut again = String::new();
        clean(text, &mut again);
        assert_eq!(again, text);
    }
});
