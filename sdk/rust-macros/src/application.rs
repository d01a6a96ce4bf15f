//! The glue between the builder and the component's exports.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, Result};

pub(crate) fn expand(attributes: TokenStream, function: &ItemFn) -> Result<TokenStream> {
    if !attributes.is_empty() {
        return Err(Error::new_spanned(attributes, "#[millrace::application] takes no arguments"));
    }
    let signature = &function.sig;
    if signature.inputs.len() != 2 || signature.asyncness.is_some() || !signature.generics.params.is_empty() {
        let wanted = "the builder has to be `fn build(env: &Environment, args: &Args) -> Result<()>`";
        return Err(Error::new_spanned(signature, wanted));
    }
    let name = &signature.ident;
    Ok(quote! {
        #function

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Builder;

            impl ::millrace::glue::Builder for Builder {
                fn build(
                    env: &::millrace::Environment,
                    args: &::millrace::Args,
                ) -> ::millrace::Result<()> {
                    #name(env, args)
                }
            }

            type Application = ::millrace::glue::Exports<Builder>;
            ::millrace::glue::export!(Application with_types_in ::millrace::glue::bindings);
        };
    })
}
