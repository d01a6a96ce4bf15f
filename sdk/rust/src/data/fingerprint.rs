//! Fingerprints of types.

/// Collects the description of a type.
#[derive(Default)]
pub struct Fingerprint {
    text: String,
    /// The named types being described, so that a recursive type ends.
    open: Vec<std::any::TypeId>,
}

impl Fingerprint {
    /// Appends a piece of the description.
    pub fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Describes a generic type by its name and what it is made of.
    ///
    /// The last part has to be at the end of the bytes: [`sequence`](Self::sequence) is for types where it may not be.
    pub fn generic(&mut self, name: &str, parts: &[fn(&mut Self)]) {
        self.composite(name, '<', parts);
    }

    /// Describes a generic type whose last part may have others behind it: a list, for example. Such a part cannot be
    /// given more fields later on.
    pub fn sequence(&mut self, name: &str, parts: &[fn(&mut Self)]) {
        self.composite(name, '(', parts);
    }

    pub(crate) fn composite(&mut self, name: &str, open: char, parts: &[fn(&mut Self)]) {
        self.text.push_str(name);
        self.text.push(open);
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            part(self);
        }
        self.text.push(if open == '(' { ')' } else { '>' });
    }

    /// Describes a type that may contain itself: inside itself, it is its name and `^`.
    pub fn named<T: 'static>(&mut self, name: &str, describe: impl FnOnce(&mut Self)) {
        self.text.push_str(name);
        let id = std::any::TypeId::of::<T>();
        if self.open.contains(&id) {
            self.text.push('^');
            return;
        }
        self.open.push(id);
        describe(self);
        self.open.pop();
    }

    pub(crate) fn into_string(self) -> String {
        self.text
    }
}
