//! What workers say, and what of it is kept.

use std::fs;

use super::Store;
use crate::{error::Error, files};

/// Most characters of a worker's last words that are kept.
pub(super) const LONGEST_WORDS: usize = 600;

impl Store {
    /// Drops logs of workers that said nothing.
    pub fn sweep_logs(&self) {
        for name in self.names("workers") {
            let path = self.root.join("workers").join(name);
            if fs::metadata(&path).is_ok_and(|meta| meta.len() == 0) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Where a worker writes its terminal output.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn worker_log(&self, name: &str) -> Result<fs::File, Error> {
        let path = self.root.join("workers").join(format!("{name}.log"));
        Ok(fs::File::create(&path).map_err(|error| files::Error::write(&path, error))?)
    }

    /// What a worker said last: its panic, if there was one, else the last lines of its log.
    pub fn last_words(&self, name: &str) -> String {
        let path = self.root.join("workers").join(format!("{name}.log"));
        let bytes = fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let last = match lines.iter().rposition(|line| line.contains("panicked at")) {
            Some(panic) => &lines[panic..lines.len().min(panic + 2)],
            None => &lines[lines.len().saturating_sub(3)..],
        };
        let words = last.join(" | ");
        let words = words.strip_prefix("ablate: ").unwrap_or(&words);
        // An error of libtorch comes with a stack of C++ names.
        let words = words
            .split_once("\\nException raised from")
            .map_or(words, |(words, _)| words);
        if words.chars().count() <= LONGEST_WORDS {
            return words.to_owned();
        }
        words.chars().take(LONGEST_WORDS).chain(['…']).collect()
    }
}
