//! FIFOs and devices: entries of a directory without content, as mknod(2) makes them.

use super::meta::kind_bits;

/// What such an entry is. Sockets are none: nobody but the process that made one can use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// A FIFO (fifo(7)).
    Fifo,
    /// A character device of this [number](Node::number).
    Character(u64),
    /// A block device of this [number](Node::number).
    Block(u64),
}

const FIFO: u32 = 0o010_000;
const CHARACTER: u32 = 0o020_000;
const BLOCK: u32 = 0o060_000;

impl Node {
    /// By the type bits of a mode and the number of a device; `None` for what is none of them, and for a device without a number.
    pub const fn of(mode: u32, number: Option<u64>) -> Option<Self> {
        match (kind_bits(mode), number) {
            (FIFO, _) => Some(Self::Fifo),
            (CHARACTER, Some(number)) => Some(Self::Character(number)),
            (BLOCK, Some(number)) => Some(Self::Block(number)),
            _ => None,
        }
    }

    /// The number of a device: the major one in the upper 32 bits, the minor one in the lower. `None` for a FIFO.
    pub const fn number(self) -> Option<u64> {
        match self {
            Self::Fifo => None,
            Self::Character(number) | Self::Block(number) => Some(number),
        }
    }

    /// True if there can be one on Linux: 12 bits of the major number, 20 of the minor one (`include/linux/kdev_t.h`).
    pub const fn is_possible(self) -> bool {
        match self.number() {
            None => true,
            Some(number) => number >> 32 < 1 << 12 && (number & 0xffff_ffff) < 1 << 20,
        }
    }

    /// What it is called.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fifo => "FIFO",
            Self::Character(_) => "character device",
            Self::Block(_) => "block device",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_by_its_type_and_a_device_by_its_number_too() {
        for (mode, number, want) in [
            (0o010_644, None, Some(Node::Fifo)),
            (0o010_644, Some(9), Some(Node::Fifo)),
            (0o020_600, Some(7), Some(Node::Character(7))),
            (0o060_600, Some(7), Some(Node::Block(7))),
            (0o020_600, None, None),
            (0o140_755, Some(7), None),
            (0o100_644, Some(7), None),
            (0o040_755, None, None),
            (0o644, Some(7), None),
        ] {
            let node = Node::of(mode, number);
            assert_eq!(node, want, "{mode:o} {number:?}");
            assert!(node.is_none_or(Node::is_possible));
            let number = number.filter(|_| matches!(node, Some(Node::Character(_) | Node::Block(_))));
            assert_eq!(node.and_then(Node::number), number);
        }
        for (number, want) in
            [(0xfff_000f_ffff, true), (0x1000_0000_0000, false), (0x0010_0000, false), (u64::MAX, false)]
        {
            assert_eq!(Node::Block(number).is_possible(), want, "{number:x}");
        }
    }
}
