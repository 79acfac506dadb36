//! A page of the docs, as far as tests read Markdown: fenced blocks, headings, links, tables. Every test of the
//! docs calls it.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the project.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Folders without pages of this project.
const SKIPPED: [&str; 4] = ["target", "node_modules", ".git", ".venv"];

pub struct Page {
    /// Below the folder of the project.
    pub path: PathBuf,
    pub text: String,
}

/// What stands between two fences.
pub struct Block {
    /// What stands behind the first fence: `toml`, `toml part`.
    pub info: String,
    /// Without the indentation of a list that it is in.
    pub text: String,
}

impl Page {
    pub fn read(path: &str) -> Page {
        let text =
            fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|why| panic!("{path}: {why}"));
        Page { path: path.into(), text }
    }

    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Its fenced blocks.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            let Some(info) = line.trim_start().strip_prefix("```") else { continue };
            let indent = line.len() - line.trim_start().len();
            let inside = lines.by_ref().take_while(|line| !line.trim_start().starts_with("```"));
            let text = inside.map(|line| format!("{}\n", line.get(indent..).unwrap_or(""))).collect();
            blocks.push(Block { info: info.to_owned(), text });
        }
        blocks
    }

    /// Its blocks of a kind.
    pub fn blocks_of(&self, info: &str) -> Vec<String> {
        let blocks = self.blocks().into_iter();
        blocks.filter(|block| block.info == info).map(|block| block.text).collect()
    }

    /// Its lines outside of blocks.
    pub fn prose(&self) -> Vec<&str> {
        let mut is_inside = false;
        let mut prose = Vec::new();
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                is_inside = !is_inside;
            } else if !is_inside {
                prose.push(line);
            }
        }
        prose
    }

    /// Its headings with their levels.
    fn headings(&self) -> Vec<(usize, &str)> {
        let heading = |line: &'_ str| line.find(|c| c != '#').filter(|&level| (1..=6).contains(&level));
        let lines = self.prose().into_iter();
        lines.filter_map(|line| heading(line).map(|level| (level, line[level..].trim()))).collect()
    }

    /// What a link may have behind its `#`, as GitHub makes it of the headings.
    pub fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for (_, heading) in self.headings() {
            let anchor = anchor_of(heading);
            let before = anchors.iter().filter(|other| **other == anchor).count();
            anchors.push(if before == 0 { anchor } else { format!("{anchor}-{before}") });
        }
        anchors
    }

    /// What stands below a heading, up to the next of its level or above.
    pub fn section(&self, anchor: &str) -> String {
        let mut found = Vec::new();
        let (mut inside, mut is_block) = (None, false);
        for line in self.text.lines() {
            is_block ^= line.trim_start().starts_with("```");
            // In a block it is a comment.
            let level = if is_block { 0 } else { line.bytes().take_while(|&byte| byte == b'#').count() };
            if level > 0 && inside.is_some_and(|inside| level <= inside) {
                break;
            }
            if level > 0 && inside.is_none() && anchor_of(line[level..].trim()) == anchor {
                inside = Some(level);
            } else if inside.is_some() {
                found.push(line);
            }
        }
        assert!(inside.is_some(), "{} has no heading {anchor}", self.name());
        found.join("\n")
    }

    /// Where its links lead to.
    pub fn links(&self) -> Vec<String> {
        let prose = self.prose().join("\n");
        let ends = prose.split("](").skip(1);
        ends.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
    }
}

fn anchor_of(heading: &str) -> String {
    let kept = heading
        .to_lowercase()
        .chars()
        .filter(|&c| c.is_alphanumeric() || " -_".contains(c))
        .collect::<String>();
    kept.replace(' ', "-")
}

/// The cells of a text's table rows, without the rows that only head a table.
pub fn rows(text: &str) -> Vec<Vec<String>> {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let is_rule = |line: &str| line.starts_with("|-");
    let is_row = |(index, line): &(usize, &&str)| {
        let heads = lines.get(index + 1).is_some_and(|next| is_rule(next));
        line.starts_with('|') && !is_rule(line) && !heads
    };
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    lines.iter().enumerate().filter(is_row).map(|(_, line)| cells(line)).collect()
}

/// What stands in backquotes.
pub fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Every page of the project.
pub fn pages() -> Vec<Page> {
    let mut found = Vec::new();
    collect(Path::new(""), &mut found);
    found.sort();
    found.iter().map(|path| Page::read(&path.display().to_string())).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(Path::new(ROOT).join(folder)).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = folder.join(&name);
        if entry.file_type().expect("a type").is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                collect(&path, found);
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// Every Rust file below a folder, as one text.
pub fn code(folder: &str) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(Path::new(ROOT).join(folder)).expect("a folder") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        if Path::new(ROOT).join(&path).is_dir() {
            text += &code(&path);
        } else if name.ends_with(".rs") {
            text += &fs::read_to_string(Path::new(ROOT).join(&path)).expect("text");
        }
    }
    text
}
