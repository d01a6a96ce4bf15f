//! Procedural macros of the Millrace SDK: `#[derive(Data)]` and `#[millrace::application]`.

mod application;
mod data;

use proc_macro::TokenStream;
use syn::{DeriveInput, ItemFn, parse_macro_input};

/// Lets a struct or an enum travel between operators, be a key, or be kept in state.
///
/// Fields are written one behind the other, in the order in which they stand; of an enum, the position of the variant
/// goes in front. All fields have to be `Data`, and the type `Clone`.
///
/// Fields that are added to a struct of which values are kept in state come last and are `#[data(default)]`: an older value
/// that ends before them has their `Default`. That works where the struct is the end of a state's value: as the value
/// itself, the last of a tuple, the last field of another struct; not within a list, a map or a set.
#[proc_macro_derive(Data, attributes(data))]
pub fn derive_data(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    data::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a function the application's builder: `fn build(env: &Environment, args: &Args) -> Result<()>`.
///
/// For a Wasm target, the crate exports the application; for others the function is left as it is, so that tests can
/// run it.
#[proc_macro_attribute]
pub fn application(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as ItemFn);
    application::expand(attributes.into(), &function).unwrap_or_else(syn::Error::into_compile_error).into()
}
