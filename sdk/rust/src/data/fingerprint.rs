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
    pub fn generic(&mut self, name: &str, parts: &[fn(&mut Self)]) {
        self.text.push_str(name);
        self.text.push('<');
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            part(self);
        }
        self.text.push('>');
    }

    /// Describes a type that may contain itself: inside itself, it is its name alone.
    pub fn named<T: 'static>(&mut self, name: &str, describe: impl FnOnce(&mut Self)) {
        self.text.push_str(name);
        let id = std::any::TypeId::of::<T>();
        if self.open.contains(&id) {
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
