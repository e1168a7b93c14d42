//! Lines out of a stream of bytes that is cut anywhere.

/// A line longer than this is shown in parts.
const LONGEST: usize = 64 << 10;

/// One output stream of one step.
#[derive(Default)]
pub(super) struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// Takes bytes in and gives out the lines that are complete with them.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.pending.extend_from_slice(piece);
            if self.pending.last() == Some(&b'\n') {
                self.pending.pop();
                lines.push(self.cut());
            } else {
                self.forget_overwritten();
                if self.pending.len() > LONGEST {
                    lines.push(self.cut());
                }
            }
        }
        lines
    }

    /// The unfinished line at the end of the stream, if there is one.
    pub(super) fn rest(mut self) -> Option<String> {
        (!self.pending.is_empty()).then(|| self.cut())
    }

    fn cut(&mut self) -> String {
        let line = std::mem::take(&mut self.pending);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        String::from_utf8_lossy(after_return(line)).into_owned()
    }

    /// A progress bar that never ends its line must not pile up.
    fn forget_overwritten(&mut self) {
        let ends = self.pending.last() == Some(&b'\r');
        let kept = after_return(if ends { &self.pending[..self.pending.len() - 1] } else { &self.pending }).len() + usize::from(ends);
        self.pending.drain(..self.pending.len() - kept);
    }
}

/// What is still to be seen of a line after its last carriage return.
fn after_return(line: &[u8]) -> &[u8] {
    line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&str]) -> (Vec<String>, Option<String>) {
        let mut lines = Lines::default();
        let complete = pieces.iter().flat_map(|piece| lines.push(piece.as_bytes())).collect();
        (complete, lines.rest())
    }

    #[test]
    fn joins_what_was_cut() {
        assert_eq!(lines(&["one\ntw", "o\n", "\nrest"]), (vec!["one".into(), "two".into(), String::new()], Some("rest".into())));
    }

    #[test]
    fn overwrites_after_a_carriage_return() {
        assert_eq!(lines(&["10%\r50%\r", "100%\r\nnext\r\n"]), (vec!["100%".into(), "next".into()], None));
        assert_eq!(lines(&["10%\r", "\n"]), (vec!["10%".into()], None), "a line end may be cut in two");
    }

    #[test]
    fn keeps_characters_that_were_cut_whole() {
        let mut parts = Lines::default();
        assert!(parts.push(&"é".as_bytes()[..1]).is_empty());
        assert_eq!(parts.push(&[&"é".as_bytes()[1..], b"\n"].concat()), ["é"]);
    }

    #[test]
    fn does_not_grow_without_end() {
        let mut bar = Lines::default();
        for percent in 0..100_000 {
            assert!(bar.push(format!("{percent}%\r").as_bytes()).is_empty());
        }
        assert!(bar.pending.len() < 100);
        assert_eq!(Lines::default().push("x".repeat(LONGEST + 1).as_bytes()).len(), 1);
    }
}
