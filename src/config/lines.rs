//! Lines: where each key path stands in the file, for messages only.
//!
//! One pass of an event parser that keeps marks, over the same bytes that the document is read
//! from. The pass also measures what must be bounded before a tree is built (nesting, expansion of
//! aliases) and finds what a tree can no longer show (repeated keys, a second document). No value
//! that the gateway uses comes from here.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, Span};

use super::types::{Fault, KeyPath};

/// Deepest nesting of maps and lists.
pub(super) const MAX_DEPTH: usize = 64;
/// Most nodes once aliases are expanded.
pub(super) const MAX_NODES: usize = 500_000;

/// The line of each key path.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    known: HashMap<KeyPath, usize>,
}

impl Lines {
    /// No key is known; the file as a whole stands at `line`.
    pub(super) fn starting_at(line: usize) -> Self {
        Self {
            known: HashMap::from([(KeyPath::root(), line)]),
        }
    }

    /// The line of a key path, or of its nearest ancestor that stands in the file.
    #[must_use]
    pub fn line(&self, at: &KeyPath) -> Option<usize> {
        let mut path = at.as_str();
        loop {
            if let Some(line) = self.known.get(&KeyPath::from_text(path)) {
                return Some(*line);
            }
            if path.is_empty() {
                return None;
            }
            path = path
                .rfind(['.', '['])
                .and_then(|cut| path.get(..cut))
                .unwrap_or("");
        }
    }
}

/// What one pass found.
pub(super) struct Scan {
    /// The lines.
    pub(super) lines: Lines,
    /// Faults with a key path.
    pub(super) faults: Vec<Fault>,
    /// Why the pass ended early.
    pub(super) broken: Option<Broken>,
}

/// Why no tree may be built.
pub(super) struct Broken {
    /// Where.
    pub(super) line: usize,
    /// What is wrong.
    pub(super) problem: String,
    /// What would be right; `None` where only the syntax is wrong.
    pub(super) remedy: Option<&'static str>,
}

type Refusal = (String, &'static str);

/// Passes over a document once.
pub(super) fn scan(text: &str) -> Scan {
    let mut pass = Pass::default();
    pass.lines.known.insert(KeyPath::root(), 1);
    let mut broken = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(found) => found,
            Err(error) => {
                let line = error.marker().line();
                broken = Some(if error.info().contains("recursion limit") {
                    refused(line, too_deep())
                } else {
                    Broken {
                        line,
                        problem: format!("this is not YAML: {}", error.info()),
                        remedy: None,
                    }
                });
                break;
            }
        };
        if let Err(refusal) = pass.event(&event, span) {
            broken = Some(refused(span.start.line(), refusal));
            break;
        }
    }
    Scan {
        lines: pass.lines,
        faults: pass.faults,
        broken,
    }
}

fn refused(line: usize, (problem, remedy): Refusal) -> Broken {
    Broken {
        line,
        problem,
        remedy: Some(remedy),
    }
}

fn too_deep() -> Refusal {
    (
        format!("the document is nested more than {MAX_DEPTH} levels deep"),
        "no key of the configuration is that deep",
    )
}

enum Frame {
    Map {
        at: KeyPath,
        keys: HashSet<String>,
        /// The key whose value comes next.
        key: Option<String>,
        size: usize,
        anchor: usize,
        is_key: bool,
    },
    List {
        at: KeyPath,
        next: usize,
        size: usize,
        anchor: usize,
        is_key: bool,
    },
}

#[derive(Default)]
struct Pass {
    lines: Lines,
    faults: Vec<Fault>,
    stack: Vec<Frame>,
    documents: usize,
    /// Expanded number of nodes below each anchor.
    anchors: HashMap<usize, usize>,
    total: usize,
}

impl Pass {
    fn event(&mut self, event: &Event<'_>, span: Span) -> Result<(), Refusal> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err((
                        "the file holds a second document (`---`)".to_owned(),
                        "keep one document in one file",
                    ));
                }
            }
            Event::Scalar(text, _, anchor, _) => {
                if *anchor > 0 {
                    self.anchors.insert(*anchor, 1);
                }
                self.count(1)?;
                self.scalar(text, span);
            }
            Event::Alias(anchor) => {
                // An anchor that is still open would contain itself.
                let size = *self.anchors.get(anchor).ok_or_else(|| {
                    (
                        "an alias (*) stands inside its own anchor (&)".to_owned(),
                        "write the value out",
                    )
                })?;
                self.count(size)?;
                if self.place(span).is_none() {
                    self.take_key("*".to_owned());
                }
            }
            Event::SequenceStart(anchor, _) => self.open(span, *anchor, false)?,
            Event::MappingStart(anchor, _) => self.open(span, *anchor, true)?,
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize) -> Result<(), Refusal> {
        self.total = self.total.saturating_add(nodes);
        if self.total > MAX_NODES {
            return Err((
                format!(
                    "the document has more than {MAX_NODES} values once its aliases are expanded"
                ),
                "write the values out, or use fewer aliases",
            ));
        }
        if let Some(Frame::Map { size, .. } | Frame::List { size, .. }) = self.stack.last_mut() {
            *size = size.saturating_add(nodes);
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, span: Span) {
        let Some(Frame::Map {
            at,
            keys,
            key: key @ None,
            ..
        }) = self.stack.last_mut()
        else {
            self.place(span);
            return;
        };
        let path = at.key(text);
        if keys.insert(text.to_owned()) {
            self.lines.known.insert(path, span.start.line());
        } else {
            let first = self.lines.line(&path).unwrap_or_default();
            self.faults.push(Fault::new(
                &path,
                format!(
                    "the key `{text}` stands twice, on lines {first} and {}",
                    span.start.line()
                ),
                "keep one of them",
            ));
        }
        *key = Some(text.to_owned());
    }

    /// The path of a value that begins here; `None` when it is a map's key.
    fn place(&mut self, span: Span) -> Option<KeyPath> {
        match self.stack.last_mut() {
            None => Some(KeyPath::root()),
            Some(Frame::Map { at, key, .. }) => key.take().map(|name| at.key(&name)),
            Some(Frame::List { at, next, .. }) => {
                let path = at.index(*next);
                *next += 1;
                self.lines.known.insert(path.clone(), span.start.line());
                Some(path)
            }
        }
    }

    fn take_key(&mut self, name: String) {
        if let Some(Frame::Map { key, .. }) = self.stack.last_mut() {
            *key = Some(name);
        }
    }

    fn open(&mut self, span: Span, anchor: usize, map: bool) -> Result<(), Refusal> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep());
        }
        let place = self.place(span);
        let is_key = place.is_none();
        let at = place.unwrap_or_else(|| KeyPath::from_text("?"));
        self.stack.push(if map {
            Frame::Map {
                at,
                keys: HashSet::new(),
                key: None,
                size: 0,
                anchor,
                is_key,
            }
        } else {
            Frame::List {
                at,
                next: 0,
                size: 0,
                anchor,
                is_key,
            }
        });
        // The node itself counts into its own size, which is what an alias to it expands to.
        self.count(1)
    }

    fn close(&mut self) {
        let Some(
            Frame::Map {
                size,
                anchor,
                is_key,
                ..
            }
            | Frame::List {
                size,
                anchor,
                is_key,
                ..
            },
        ) = self.stack.pop()
        else {
            return;
        };
        if anchor > 0 {
            self.anchors.insert(anchor, size);
        }
        // Its nodes have been counted into the total already; the parent's size still lacks them.
        if let Some(Frame::Map { size: outer, .. } | Frame::List { size: outer, .. }) =
            self.stack.last_mut()
        {
            *outer = outer.saturating_add(size);
        }
        if is_key {
            self.take_key("?".to_owned());
        }
    }
}
