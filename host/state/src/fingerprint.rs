//! Which types of state values may follow each other: the rule that the guest contract states at `fingerprint`.

/// Whether values that were written under the fingerprint `old` can be read under `new`: both are equal, or `new` has more
/// fields at the very end of its values, each marked `+` as one that may be missing.
pub fn fingerprint_accepts(old: &str, new: &str) -> bool {
    if old == new {
        return true;
    }
    // A type that contains itself has its end in the middle of its values.
    if old.contains('^') || new.contains('^') {
        return false;
    }
    let closers = old.bytes().rev().take_while(|byte| matches!(byte, b'}' | b'>' | b']')).count();
    (old.len() - closers..old.len()).any(|at| {
        let Some((head, tail)) = old.split_at_checked(at) else { return false };
        let added = new.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
        tail.starts_with('}') && added.is_some_and(|added| is_fields(added, head.ends_with('{')))
    })
}

/// Whether a text is one or more fields that may be missing, behind other fields or `alone`.
fn is_fields(text: &str, alone: bool) -> bool {
    let Some(fields) = (if alone { Some(text) } else { text.strip_prefix(',') }) else { return false };
    let mut open = Vec::new();
    let mut start = 0;
    for (at, byte) in fields.bytes().enumerate() {
        match byte {
            b'{' => open.push(b'}'),
            b'<' => open.push(b'>'),
            b'[' => open.push(b']'),
            b'(' => open.push(b')'),
            b'}' | b'>' | b']' | b')' if open.pop() != Some(byte) => return false,
            b',' if open.is_empty() => {
                if !fields.get(start..at).is_some_and(is_field) {
                    return false;
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    open.is_empty() && fields.get(start..).is_some_and(is_field)
}

fn is_field(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|description| !description.is_empty())
}

#[cfg(test)]
mod tests {
    use super::fingerprint_accepts;

    #[test]
    fn fields_that_may_be_missing_are_accepted_at_the_end() {
        for (old, new) in [
            ("u64", "u64"),
            ("R{a:u32}", "R{a:u32,+b:list(u8)}"),
            ("R{a:u32}", "R{a:u32,+b:u8,+c:P{x:u8,y:u8}}"),
            ("R{}", "R{+b:u8}"),
            ("R{a:u32,s:S{x:u8}}", "R{a:u32,s:S{x:u8,+y:u8}}"),
            ("R{a:u32,s:S{x:u8}}", "R{a:u32,s:S{x:u8},+b:u8}"),
            ("tuple<u8,R{a:u32}>", "tuple<u8,R{a:u32,+b:u8}>"),
            ("E[A{x:u8}|B{r:R{a:u8}}]", "E[A{x:u8}|B{r:R{a:u8,+b:u8}}]"),
            ("R{+a:u8}", "R{+a:u8,+b:u8}"),
        ] {
            assert!(fingerprint_accepts(old, new), "{old} then {new}");
            assert!(old == new || !fingerprint_accepts(new, old), "{new} then {old}");
        }
    }

    #[test]
    fn all_else_is_refused() {
        for (old, new) in [
            ("u64", "u32"),
            ("", "+a:u8"),
            ("R{a:u32}", "R{a:u32,b:u8}"),
            ("R{a:u32}", "R{a:u32,+}"),
            ("R{a:u32}", "R{a:u32,}"),
            ("R{a:u32}", "R{a:u32+b:u8}"),
            ("R{a:u32}", "R{a:u32,+b:u8,c:u8}"),
            ("R{a:u32}", "S{a:u32,+b:u8}"),
            ("R{}", "R{,+b:u8}"),
            ("R{a:u32,b:u8}", "R{a:u32,+c:u8,b:u8}"),
            ("list(R{a:u32})", "list(R{a:u32,+b:u8})"),
            ("tuple<R{a:u32},u8>", "tuple<R{a:u32,+b:u8},u8>"),
            ("E[A{x:u8}]", "E[A{x:u8,+y:u8}|B{z:u8}]"),
            ("E[A{x:u8}]", "E[A{x:u8}|B{z:u8}]"),
            ("R{a:u32}", "R{a:u32,+b:u8]}"),
            ("R{a:u32}", "R{a:u32,+b:[u8>}"),
            ("R{a:R^}", "R{a:R^,+b:u8}"),
            ("R{a:u32}", "R{a:u32,+b:R^}"),
        ] {
            assert!(!fingerprint_accepts(old, new), "{old} then {new}");
        }
    }
}
