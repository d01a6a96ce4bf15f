//! `#[derive(Data)]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::{DeriveInput, Error, Field, Fields, GenericParam, Generics, Ident, Member, Result, parse_quote};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let parts = match &input.data {
        syn::Data::Struct(data) => of_struct(&data.fields)?,
        syn::Data::Enum(data) => {
            if data.variants.is_empty() {
                return Err(Error::new_spanned(&input.ident, "an enum without variants has no values"));
            }
            for variant in &data.variants {
                for field in &variant.fields {
                    if is_default(field)? {
                        let message = "only the fields of a struct can be `#[data(default)]`";
                        return Err(Error::new_spanned(field, message));
                    }
                }
            }
            of_enum(&input.ident, data)
        }
        syn::Data::Union(data) => {
            return Err(Error::new_spanned(data.union_token, "a union cannot be Data: which field is set is unknown"));
        }
    };
    let Parts { min_bytes, encode, decode, describe } = parts;
    let name = &input.ident;
    let name_text = name.to_string();
    let generics = with_bounds(input.generics.clone());
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::millrace::Data for #name #type_generics #where_clause {
            const MIN_BYTES: usize = #min_bytes;

            #[inline]
            fn encode(&self, out: &mut ::std::vec::Vec<u8>) {
                #encode
            }

            #[inline]
            fn decode(
                input: &mut ::millrace::data::Reader<'_>,
            ) -> ::std::result::Result<Self, ::millrace::data::DecodeError> {
                #decode
            }

            fn describe(fingerprint: &mut ::millrace::data::Fingerprint) {
                fingerprint.named::<Self>(#name_text, |fingerprint| {
                    #describe
                });
            }
        }
    })
}

/// The pieces of the implementation.
struct Parts {
    min_bytes: TokenStream,
    encode: TokenStream,
    decode: TokenStream,
    describe: TokenStream,
}

fn with_bounds(mut generics: Generics) -> Generics {
    for parameter in &mut generics.params {
        if let GenericParam::Type(parameter) = parameter {
            parameter.bounds.push(parse_quote!(::millrace::Data));
        }
    }
    generics
}

/// Whether a field is `#[data(default)]`: it was added at the end of a struct of which values are kept in state.
fn is_default(field: &Field) -> Result<bool> {
    let mut is_default = false;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("data")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("default") {
                is_default = true;
                Ok(())
            } else {
                Err(meta.error("the attribute is `#[data(default)]`"))
            }
        })?;
    }
    Ok(is_default)
}

/// How many fields in front are not `#[data(default)]`; behind them all have to be.
fn required(fields: &Fields) -> Result<usize> {
    let mut required = 0;
    for (index, field) in fields.iter().enumerate() {
        if is_default(field)? {
            continue;
        }
        if required < index {
            let message = "fields that are `#[data(default)]` come last: older values end before them";
            return Err(Error::new_spanned(field, message));
        }
        required += 1;
    }
    Ok(required)
}

fn members(fields: &Fields) -> Vec<Member> {
    fields.members().collect()
}

fn types(fields: &Fields) -> Vec<&syn::Type> {
    fields.iter().map(|field| &field.ty).collect()
}

/// Decodes a value whose constructor is `path`. Fields behind the first `required` may be missing at the end of the bytes.
fn construct(path: &TokenStream, fields: &Fields, required: usize) -> TokenStream {
    let (members, types) = (members(fields), types(fields));
    let values = types.iter().enumerate().map(|(index, kind)| {
        let decode = quote! { <#kind as ::millrace::Data>::decode(input)? };
        if index < required {
            decode
        } else {
            quote! { if input.remaining() == 0 { ::std::default::Default::default() } else { #decode } }
        }
    });
    quote! { #path { #(#members: #values,)* } }
}

/// Describes the fields of a struct or a variant.
fn describe_fields(fields: &Fields, required: usize) -> TokenStream {
    let types = types(fields);
    let prefixes = members(fields).into_iter().enumerate().map(|(index, member)| {
        let separator = if index == 0 { "" } else { "," };
        let marker = if index < required { "" } else { "+" };
        match member {
            Member::Named(name) => format!("{separator}{marker}{name}:"),
            Member::Unnamed(_) => format!("{separator}{marker}"),
        }
    });
    quote! {
        fingerprint.text("{");
        #(
            fingerprint.text(#prefixes);
            <#types as ::millrace::Data>::describe(fingerprint);
        )*
        fingerprint.text("}");
    }
}

fn of_struct(fields: &Fields) -> Result<Parts> {
    let (members, types) = (members(fields), types(fields));
    let required = required(fields)?;
    let value = construct(&Ident::new("Self", proc_macro2::Span::call_site()).to_token_stream(), fields, required);
    let required_types = &types[..required];
    Ok(Parts {
        min_bytes: quote! { 0 #(+ <#required_types as ::millrace::Data>::MIN_BYTES)* },
        encode: if members.is_empty() {
            quote! { let _ = out; }
        } else {
            quote! { #(::millrace::Data::encode(&self.#members, out);)* }
        },
        decode: if members.is_empty() {
            quote! { let _ = input; ::std::result::Result::Ok(#value) }
        } else {
            quote! { ::std::result::Result::Ok(#value) }
        },
        describe: describe_fields(fields, required),
    })
}

fn of_enum(name: &Ident, data: &syn::DataEnum) -> Parts {
    let mut encode = TokenStream::new();
    let mut decode = TokenStream::new();
    let mut describe = quote! { fingerprint.text("["); };
    for (index, variant) in data.variants.iter().enumerate() {
        let (ident, fields) = (&variant.ident, &variant.fields);
        let members = members(fields);
        let bindings: Vec<Ident> = (0..members.len()).map(|field| format_ident!("field_{field}")).collect();
        encode.extend(quote! {
            Self::#ident { #(#members: #bindings,)* } => {
                ::millrace::data::encode_length(#index, out);
                #(::millrace::Data::encode(#bindings, out);)*
            }
        });
        let value = construct(&quote! { Self::#ident }, fields, fields.len());
        decode.extend(quote! { #index => #value, });
        let text = if index == 0 { ident.to_string() } else { format!("|{ident}") };
        let fields = describe_fields(fields, fields.len());
        describe.extend(quote! { fingerprint.text(#text); #fields });
    }
    describe.extend(quote! { fingerprint.text("]"); });
    let name = name.to_string();
    Parts {
        min_bytes: quote! { 1 },
        encode: quote! { match self { #encode } },
        decode: quote! {
            ::std::result::Result::Ok(match input.length()? {
                #decode
                other => {
                    let error = ::millrace::data::DecodeError::BadValue { type_name: #name, value: other as u64 };
                    return ::std::result::Result::Err(error);
                }
            })
        },
        describe,
    }
}
