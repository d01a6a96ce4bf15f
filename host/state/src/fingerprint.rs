//! Which types of state values may follow each other: the rule of `fingerprint` in the guest contract.

/// Whether values that were written under the fingerprint `old` can be read under `new`: if they are equal, or if `new` is
/// `old` with fields added to the record at the end of the value. A recursive type, which a `^` tells, never gets any.
pub fn fingerprint_accepts(old: &str, new: &str) -> bool {
    if old == new {
        return true;
    }
    if old.contains('^') || new.contains('^') {
        return false;
    }
    // What stands at the end of both and only closes something; the added fields stand in front of some of it.
    let is_closing = |byte: &&u8| matches!(byte, b'}' | b'>' | b']');
    let closing = old.bytes().rev().zip(new.bytes().rev()).take_while(|(a, b)| a == b && is_closing(&a)).count();
    (1..=closing).any(|end| {
        let (head, tail) = old.split_at(old.len() - end);
        let added = new.strip_suffix(tail).and_then(|new| new.strip_prefix(head));
        tail.starts_with('}') && added.is_some_and(|added| are_fields(added, head.ends_with('{')))
    })
}

/// Whether a text is `,+field` again and again, with every bracket closed; the first comma is missing if they are all the
/// fields that there are.
fn are_fields(text: &str, is_first: bool) -> bool {
    let first = if is_first { text.strip_prefix('+') } else { text.strip_prefix(",+") };
    let Some(mut rest) = first else { return false };
    let mut depth = 0usize;
    while let Some(byte) = rest.bytes().next() {
        rest = &rest[1..];
        match byte {
            b'{' | b'<' | b'(' | b'[' => depth += 1,
            b'}' | b'>' | b')' | b']' => match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return false,
            },
            b',' if depth == 0 && !rest.starts_with('+') => return false,
            _ => {}
        }
        // Names are ASCII; nothing else is taken apart.
        if !byte.is_ascii() {
            return false;
        }
    }
    depth == 0
}

#[cfg(test)]
mod tests {
    use super::fingerprint_accepts;

    #[test]
    fn fields_may_be_added_to_the_record_at_the_end() {
        for (old, new) in [
            ("value<u64,N{a:u32}>", "value<u64,N{a:u32}>"),
            ("value<u64,N{a:u32}>", "value<u64,N{a:u32,+b:string}>"),
            ("value<u64,N{a:u32}>", "value<u64,N{a:u32,+b:M{c:list(u8),d:u8},+e:tuple<u8,u8>}>"),
            ("value<u64,N{a:u32,+b:u8}>", "value<u64,N{a:u32,+b:u8,+c:u8}>"),
            ("map<u64,string,N{}>", "map<u64,string,N{+b:u8}>"),
            ("value<u64,option<tuple<u8,N{u32}>>>", "value<u64,option<tuple<u8,N{u32,+u8}>>>"),
            ("value<u8,Outer{x:u8,inner:N{a:u8}}>", "value<u8,Outer{x:u8,inner:N{a:u8,+b:u8}}>"),
            ("value<u8,Outer{x:u8,inner:N{a:u8}}>", "value<u8,Outer{x:u8,inner:N{a:u8},+b:u8}>"),
            ("value<u8,E[A{}|B{N{a:u8}}]>", "value<u8,E[A{}|B{N{a:u8,+b:u8}}]>"),
        ] {
            assert!(fingerprint_accepts(old, new), "{old} to {new}");
        }
    }

    #[test]
    fn everything_else_is_another_type() {
        for (old, new) in [
            ("value<u64,u32>", "value<u64,u64>"),
            ("value<u64,u32>", "expiring-value<u64,u32>"),
            ("value<u64,N{a:u32}>", "value<u64,N{a:u32,b:u8}>"),
            ("value<u64,N{a:u32}>", "value<u64,N{a:u32,+b:u8,c:u8}>"),
            ("value<u64,N{a:u32}>", "value<u64,N{a:u32},+b:u8>"),
            ("value<u64,N{a:u32,+b:u8}>", "value<u64,N{a:u32}>"),
            ("value<u64,N{a:u32}>", "value<u64,N{+b:u8,a:u32}>"),
            ("value<N{a:u32},u64>", "value<N{a:u32,+b:u8},u64>"),
            ("value<u64,list(N{a:u32})>", "value<u64,list(N{a:u32,+b:u8})>"),
            ("list(u64,N{a:u32})", "list(u64,N{a:u32,+b:u8})"),
            ("value<u64,tuple<N{a:u32},u8>>", "value<u64,tuple<N{a:u32,+b:u8},u8>>"),
            ("value<u64,P{a:N{x:u8},b:N{x:u8}}>", "value<u64,P{a:N{x:u8,+y:u8},b:N{x:u8,+y:u8}}>"),
            ("value<u64,T{next:option<T^>,v:u8}>", "value<u64,T{next:option<T^>,v:u8,+w:u8}>"),
            ("value<u64,N{a:u32}>", "value<u64,N{a:u32,+b:u8}"),
            ("value<u64,N{a:u32}>", ""),
            ("", "value<u64,N{+a:u32}>"),
        ] {
            assert!(!fingerprint_accepts(old, new), "{old} to {new}");
        }
    }
}
