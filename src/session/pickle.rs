//! Pickle, of plain values alone.
//!
//! A pickle is a program (`Lib/pickletools.py`). The part of it that only builds None, bool, int,
//! float, str, bytes, list, tuple and dict is followed here; every opcode that could name, call or
//! fill anything else (`GLOBAL`, `STACK_GLOBAL`, `REDUCE`, `BUILD`, `NEWOBJ`, `INST`, `OBJ`, `EXT`, `PERSID`, …)
//! refuses the whole. Protocols 2 to 5, as Django's caches write them.
//!
//! Nothing is built: what is asked for is the text or number under a few keys of the outermost dict,
//! and everything else is only followed. So nesting costs no stack of ours, a list that contains
//! itself is harmless, and a pickle that repeats one long text a million times takes no memory.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::error::SessionError;

/// Largest pickle in bytes.
pub(super) const MAX_PICKLE: usize = 1 << 20;
/// Most values, most places of the stack, and most memo entries.
const MAX_HELD: usize = 1 << 16;

const fn refused(what: &'static str) -> SessionError {
    SessionError::Unreadable(what)
}

const CUT: SessionError = refused("the pickle ends early");
const FULL: SessionError = refused("the pickle holds too much");
const DISORDER: SessionError = refused("the pickle is out of order");

/// The members of the outermost dict whose names are `wanted`; what stands there and is neither
/// text nor an integer is an empty list, so that it is never taken for absent.
pub(super) fn members(pickle: &[u8], wanted: &[&str]) -> Result<Map<String, Value>, SessionError> {
    if pickle.len() > MAX_PICKLE {
        return Err(FULL);
    }
    let mut machine = Machine {
        rest: pickle,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::default(),
    };
    let top = machine.run()?;
    machine.read_out(top, wanted)
}

/// A value, as far as anybody asks.
enum Node<'p> {
    Text(&'p str),
    Integer(i64),
    /// A list; its items do not matter, but that it can grow does.
    List,
    Dict(Vec<(usize, usize)>),
    Other,
}

struct Machine<'p> {
    rest: &'p [u8],
    nodes: Vec<Node<'p>>,
    /// Indices of nodes, so that what is memoised and then filled is filled for everybody.
    stack: Vec<usize>,
    /// The height of the stack at each MARK.
    marks: Vec<usize>,
    memo: HashMap<u32, usize, ahash::RandomState>,
}

impl<'p> Machine<'p> {
    /// Follows the program to its STOP; the node that it leaves.
    fn run(&mut self) -> Result<usize, SessionError> {
        if !matches!((self.byte()?, self.byte()?), (0x80, 2..=5)) {
            return Err(refused("it is no pickle of protocol 2 to 5"));
        }
        loop {
            match self.byte()? {
                // STOP
                b'.' => return self.stop(),
                // FRAME: a hint for buffering.
                0x95 => drop(self.array::<8>()?),
                // MARK
                b'(' => self.mark()?,
                // NONE, NEWTRUE, NEWFALSE, EMPTY_TUPLE
                b'N' | 0x88 | 0x89 | b')' => self.push(Node::Other)?,
                // BININT1, BININT2, BININT, LONG1
                b'K' => {
                    let number = self.byte()?;
                    self.push(Node::Integer(number.into()))?;
                }
                b'M' => {
                    let number = u16::from_le_bytes(self.array()?);
                    self.push(Node::Integer(number.into()))?;
                }
                b'J' => {
                    let number = i32::from_le_bytes(self.array()?);
                    self.push(Node::Integer(number.into()))?;
                }
                0x8a => self.long()?,
                // BINFLOAT
                b'G' => {
                    self.array::<8>()?;
                    self.push(Node::Other)?;
                }
                // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
                0x8c => self.text(1)?,
                b'X' => self.text(4)?,
                0x8d => self.text(8)?,
                // SHORT_BINBYTES, BINBYTES, BINBYTES8
                b'C' => self.bytes(1)?,
                b'B' => self.bytes(4)?,
                0x8e => self.bytes(8)?,
                // EMPTY_LIST, EMPTY_DICT
                b']' => self.push(Node::List)?,
                b'}' => self.push(Node::Dict(Vec::new()))?,
                // TUPLE1, TUPLE2, TUPLE3, TUPLE
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                b't' => {
                    self.since_mark()?;
                    self.push(Node::Other)?;
                }
                // APPEND, APPENDS
                b'a' => {
                    self.pop()?;
                    self.grow_list()?;
                }
                b'e' => {
                    self.since_mark()?;
                    self.grow_list()?;
                }
                // SETITEM, SETITEMS
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.fill_dict(&[key, value])?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.fill_dict(&items)?;
                }
                // MEMOIZE, BINPUT, LONG_BINPUT
                0x94 => {
                    let next = u32::try_from(self.memo.len()).map_err(|_| FULL)?;
                    self.memoise(next)?;
                }
                b'q' => {
                    let place = self.byte()?;
                    self.memoise(place.into())?;
                }
                b'r' => {
                    let place = u32::from_le_bytes(self.array()?);
                    self.memoise(place)?;
                }
                // BINGET, LONG_BINGET
                b'h' => {
                    let place = self.byte()?;
                    self.recall(place.into())?;
                }
                b'j' => {
                    let place = u32::from_le_bytes(self.array()?);
                    self.recall(place)?;
                }
                _ => return Err(refused("it holds more than plain values")),
            }
        }
    }

    fn read_out(&self, top: usize, wanted: &[&str]) -> Result<Map<String, Value>, SessionError> {
        let Some(Node::Dict(entries)) = self.nodes.get(top) else {
            return Err(refused("it is no dict"));
        };
        let mut members = Map::new();
        // A later entry replaces an earlier one of the same key.
        for (key, value) in entries {
            let Some(Node::Text(name)) = self.nodes.get(*key) else {
                continue;
            };
            if !wanted.contains(name) {
                continue;
            }
            let value = match self.nodes.get(*value) {
                Some(Node::Text(text)) => Value::from(*text),
                Some(Node::Integer(number)) => Value::from(*number),
                _ => Value::Array(Vec::new()),
            };
            members.insert((*name).to_owned(), value);
        }
        Ok(members)
    }

    fn push(&mut self, node: Node<'p>) -> Result<(), SessionError> {
        if self.nodes.len() >= MAX_HELD {
            return Err(FULL);
        }
        self.nodes.push(node);
        self.push_index(self.nodes.len() - 1)
    }

    fn push_index(&mut self, index: usize) -> Result<(), SessionError> {
        if self.stack.len() >= MAX_HELD {
            return Err(FULL);
        }
        self.stack.push(index);
        Ok(())
    }

    /// Takes the topmost value, which must stand above the last mark.
    fn pop(&mut self) -> Result<usize, SessionError> {
        if self.stack.len() <= self.floor() {
            return Err(DISORDER);
        }
        self.stack.pop().ok_or(DISORDER)
    }

    fn top(&self) -> Result<usize, SessionError> {
        if self.stack.len() <= self.floor() {
            return Err(DISORDER);
        }
        self.stack.last().copied().ok_or(DISORDER)
    }

    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn mark(&mut self) -> Result<(), SessionError> {
        if self.marks.len() >= MAX_HELD {
            return Err(FULL);
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn since_mark(&mut self) -> Result<Vec<usize>, SessionError> {
        let mark = self.marks.pop().ok_or(DISORDER)?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn tuple(&mut self, length: usize) -> Result<(), SessionError> {
        for _ in 0..length {
            self.pop()?;
        }
        self.push(Node::Other)
    }

    fn grow_list(&self) -> Result<(), SessionError> {
        match self.nodes.get(self.top()?) {
            Some(Node::List) => Ok(()),
            _ => Err(DISORDER),
        }
    }

    fn fill_dict(&mut self, items: &[usize]) -> Result<(), SessionError> {
        let dict = self.top()?;
        let Some(Node::Dict(entries)) = self.nodes.get_mut(dict) else {
            return Err(DISORDER);
        };
        for pair in items.chunks(2) {
            let [key, value] = pair else {
                return Err(DISORDER);
            };
            entries.push((*key, *value));
        }
        Ok(())
    }

    fn memoise(&mut self, place: u32) -> Result<(), SessionError> {
        if self.memo.len() >= MAX_HELD {
            return Err(FULL);
        }
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<(), SessionError> {
        let index = *self.memo.get(&place).ok_or(DISORDER)?;
        self.push_index(index)
    }

    fn stop(&self) -> Result<usize, SessionError> {
        match self.stack.as_slice() {
            [only] if self.marks.is_empty() && self.rest.is_empty() => Ok(*only),
            _ => Err(DISORDER),
        }
    }

    /// LONG1: little-endian two's complement. What is larger than 64 bits is nobody's id.
    fn long(&mut self) -> Result<(), SessionError> {
        let length = self.byte()?;
        let digits = self.take(length.into())?;
        let node = if digits.len() > 8 {
            Node::Other
        } else {
            let negative = digits.last().is_some_and(|last| *last >= 0x80);
            let mut bytes = [if negative { 0xff } else { 0 }; 8];
            for (place, digit) in bytes.iter_mut().zip(digits) {
                *place = *digit;
            }
            Node::Integer(i64::from_le_bytes(bytes))
        };
        self.push(node)
    }

    fn text(&mut self, width: usize) -> Result<(), SessionError> {
        let bytes = self.counted(width)?;
        // Python writes lone surrogates too; such a text is nothing that is asked for.
        let node = std::str::from_utf8(bytes).map_or(Node::Other, Node::Text);
        self.push(node)
    }

    fn bytes(&mut self, width: usize) -> Result<(), SessionError> {
        self.counted(width)?;
        self.push(Node::Other)
    }

    /// As many bytes as the little-endian number of `width` bytes says.
    fn counted(&mut self, width: usize) -> Result<&'p [u8], SessionError> {
        let mut length = [0; 8];
        for (place, byte) in length.iter_mut().zip(self.take(width)?) {
            *place = *byte;
        }
        let length = usize::try_from(u64::from_le_bytes(length)).map_err(|_| CUT)?;
        self.take(length)
    }

    fn byte(&mut self) -> Result<u8, SessionError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SessionError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(CUT)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn take(&mut self, length: usize) -> Result<&'p [u8], SessionError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CUT)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
#[path = "pickle_tests.rs"]
mod tests;
