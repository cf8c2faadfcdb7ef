//! One tag while it is read: its attributes with macros replaced, checked against its [`Spec`].

use std::ops::Range;

use roxmltree::{Attribute, Node};

use crate::context::Context;
use crate::diagnostic::Code;
use crate::spec::{self, Spec, Standing, proper_parent};
use hf_types::nearest;

/// An attribute as written, with its macros replaced.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    /// Where the value stands in the text.
    pub(crate) span: Range<usize>,
}

/// A tag of a known kind. Opening it reports everything in it that isn't known or not served.
pub(crate) struct Element<'d> {
    pub(crate) spec: &'static Spec,
    node: Node<'d, 'd>,
    values: Vec<Value>,
    /// Attributes that are there, but whose value was reported already.
    broken: Vec<&'static str>,
}

impl<'d> Element<'d> {
    /// Takes a node as the tag that `spec` describes.
    pub(crate) fn open(node: Node<'d, 'd>, spec: &'static Spec, context: &mut Context) -> Self {
        let mut element = Element { spec, node, values: Vec::new(), broken: Vec::new() };
        for attribute in node.attributes() {
            element.take_attribute(&attribute, context);
        }
        for child in node.children() {
            element.look_at_child(child, context);
        }
        element
    }

    /// Where the tag's name stands.
    pub(crate) fn span(&self) -> Range<usize> {
        name_span(self.node)
    }

    /// The whole tag with all that is inside.
    pub(crate) fn range(&self) -> Range<usize> {
        self.node.range()
    }

    /// The `ident` of a tag below this one; this tag if there is none.
    pub(crate) fn place_of(&self, tag: &str, ident: &str) -> Range<usize> {
        let named = self.descendants().filter(|node| node.has_tag_name(tag));
        let mut idents = named.filter_map(|node| node.attribute_node("ident"));
        idents.find(|attribute| attribute.value() == ident).map_or(self.span(), |attribute| attribute.range_value())
    }

    /// Where the name of the first child of this kind stands; this tag's if there is none.
    pub(crate) fn place_of_child(&self, tag: &str) -> Range<usize> {
        self.child_tags().find(|child| child.has_tag_name(tag)).map_or(self.span(), name_span)
    }

    /// The tag's name.
    pub(crate) fn tag(&self) -> &'static str {
        self.spec.tag
    }

    /// The attribute, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        debug_assert!(self.spec.attribute(name).is_some(), "{name} isn't in the table of <{}>", self.spec.tag);
        self.values.iter().find(|value| value.name == name)
    }

    /// The attribute, which has to be there.
    pub(crate) fn require(&self, name: &str, context: &mut Context) -> Option<&Value> {
        let value = self.get(name);
        if value.is_none() && !self.broken.contains(&name) {
            let message = format!("<{}> needs the attribute {name}", self.spec.tag);
            let help = self.spec.attribute(name).map(|known| format!("{name}=\"...\": {}", known.form.in_words()));
            context.sink.error(Code::MissingAttribute, self.span(), message, help);
        }
        value
    }

    /// The children of one kind, opened.
    pub(crate) fn children(&self, spec: &'static Spec, context: &mut Context) -> Vec<Element<'d>> {
        let nodes = self.node.children().filter(|child| is_tag(*child, spec.tag));
        nodes.map(|child| Element::open(child, spec, context)).collect()
    }

    /// The nodes of all tags inside, known or not.
    pub(crate) fn child_tags(&self) -> impl Iterator<Item = Node<'d, 'd>> {
        self.node.children().filter(|child| child.is_element())
    }

    /// All tags below this one, at any depth.
    pub(crate) fn descendants(&self) -> impl Iterator<Item = Node<'d, 'd>> {
        self.node.descendants().skip(1).filter(|node| node.is_element())
    }

    /// The child of one kind; a second one is an error.
    pub(crate) fn only_child(&self, spec: &'static Spec, context: &mut Context) -> Option<Element<'d>> {
        let mut nodes = self.node.children().filter(|child| is_tag(*child, spec.tag));
        let first = nodes.next()?;
        for second in nodes {
            let message = format!("<{}> has only one <{}>", self.spec.tag, spec.tag);
            context.sink.error(Code::Duplicate, name_span(second), message, None);
        }
        Some(Element::open(first, spec, context))
    }

    /// Says that a child is missing. Not if there is one whose name looks like a slip for it: that was reported already, with the right name.
    pub(crate) fn report_missing_child(&self, tag: &str, context: &mut Context) {
        let tags = || self.spec.children.iter().map(|(name, _)| *name);
        let mut unknown =
            self.child_tags().map(|child| child.tag_name().name()).filter(|name| tags().all(|tag| tag != *name));
        if unknown.any(|name| nearest(name, tags()) == Some(tag)) {
            return;
        }
        let message = format!("<{}> needs a <{tag}>", self.spec.tag);
        let help = spec::sample_inside(tag, self.spec);
        context.sink.error(Code::MissingElement, self.span(), message, help);
    }

    fn take_attribute(&mut self, attribute: &Attribute<'d, 'd>, context: &mut Context) {
        let span = attribute.range_value();
        let known = self.spec.attribute(attribute.name()).filter(|_| attribute.namespace().is_none());
        let Some(known) = known else {
            self.report_unknown_attribute(attribute, context);
            return;
        };
        let Some(text) = context.expand(attribute.value(), &span) else {
            self.broken.push(known.name);
            return;
        };
        report_standing(known, &text, attribute, context);
        // What has no effect is checked all the same: a slip in it shouldn't wait for the version that serves it.
        if known.standing != Standing::Windows {
            self.values.push(Value { name: known.name, text, span });
        }
    }

    fn report_unknown_attribute(&self, attribute: &Attribute, context: &mut Context) {
        let names = self.spec.attributes.iter().map(|attribute| attribute.name);
        let help = match nearest(attribute.name(), names.clone()) {
            Some(near) => Some(format!("did you mean {near}?")),
            None if self.spec.attributes.is_empty() => Some(format!("<{}> has no attributes", self.spec.tag)),
            None => Some(format!("<{}> has {}", self.spec.tag, names.collect::<Vec<_>>().join(", "))),
        };
        let message = format!("<{}> has no attribute {}", self.spec.tag, short(attribute.name()));
        context.sink.error(Code::UnknownAttribute, attribute.range_qname(), message, help);
    }

    fn look_at_child(&self, child: Node, context: &mut Context) {
        if child.is_text() && !self.spec.holds_text() && !child.text().unwrap_or("").trim().is_empty() {
            // As it stands in the file: an entity is longer there than what it means.
            let text = child.document().input_text().get(child.range()).unwrap_or("");
            let start = child.range().start + (text.len() - text.trim_start().len());
            let span = start..start + text.trim().len();
            let message = format!("text inside <{}> has no meaning", self.spec.tag);
            let help = "put it in a comment: <!-- ... -->".to_owned();
            context.sink.error(Code::StrayText, span, message, Some(help));
        }
        if !child.is_element() {
            return;
        }
        let known = self.spec.children.iter().find(|(tag, _)| is_tag(child, tag));
        match known {
            Some((tag, Standing::Later(meanwhile))) => {
                let message = format!("<{tag}> has no effect yet: {meanwhile}");
                context.sink.warning(Code::NotYet, name_span(child), message, None);
            }
            Some(_) => {}
            None => self.report_unknown_child(child, context),
        }
    }

    fn report_unknown_child(&self, child: Node, context: &mut Context) {
        let tag = child.tag_name().name();
        let tags = self.spec.children.iter().map(|(name, _)| *name);
        let parent = proper_parent(tag, self.spec).filter(|_| !self.spec.holds_text());
        let help = match (parent, nearest(tag, tags.clone())) {
            (Some(parent), _) if parent != self.spec.tag => {
                format!("<{tag}> belongs into <{parent}>")
            }
            (_, Some(near)) => format!("did you mean <{near}>?"),
            _ if self.spec.children.is_empty() => format!("<{}> has no tags inside", self.spec.tag),
            _ => format!("<{}> has {}", self.spec.tag, tags.map(|t| format!("<{t}>")).collect::<Vec<_>>().join(", ")),
        };
        let message = format!("<{}> isn't known inside <{}>", short(tag), self.spec.tag);
        context.sink.error(Code::UnknownElement, name_span(child), message, Some(help));
    }
}

/// Says what becomes of an attribute that is more than read and used.
fn report_standing(known: &spec::Attribute, text: &str, attribute: &Attribute, context: &mut Context) {
    let (name, default) = (known.name, known.form.is_default(text));
    match known.standing {
        Standing::Served => {}
        Standing::OnlyDefault(_) if default => {}
        Standing::OnlyDefault(what) => {
            let message = format!("{name}=\"{text}\" isn't served yet: {what}");
            let help = format!("only the default {name}=\"{}\" is; take it out for now", known.form.default_text());
            context.sink.error(Code::NotYet, attribute.range_value(), message, Some(help));
        }
        Standing::Never(_) if default => {}
        Standing::Never(instead) => {
            let message = format!("{name}=\"{text}\" isn't served: {instead}");
            context.sink.error(Code::BadValue, attribute.range_value(), message, None);
        }
        // Who writes down the default expects nothing of it: a note. Who asks for something else is warned.
        Standing::Later(meanwhile) if default => {
            context.sink.note(Code::NotYet, attribute.range(), format!("{name} has no effect yet: {meanwhile}"), None);
        }
        Standing::Later(meanwhile) => {
            let message = format!("{name}=\"{text}\" has no effect yet: {meanwhile}");
            context.sink.warning(Code::NotYet, attribute.range(), message, None);
        }
        Standing::Moot(why) => {
            context.sink.note(Code::NoEffect, attribute.range(), format!("{name} changes nothing here: {why}"), None);
        }
        Standing::Windows => {
            let message = format!("{name} is of use on Windows only and has no effect here");
            context.sink.note(Code::OtherSystem, attribute.range(), message, None);
        }
    }
}

/// Opens the document's root, which has to be the tag of `spec`.
pub(crate) fn open_root<'d>(
    document: &'d roxmltree::Document<'d>,
    spec: &'static Spec,
    context: &mut Context,
) -> Option<Element<'d>> {
    let root = document.root_element();
    if is_tag(root, spec.tag) {
        return Some(Element::open(root, spec, context));
    }
    let message = format!("the file begins with <{}>; <{}> is expected", short(root.tag_name().name()), spec.tag);
    context.sink.error(Code::UnknownElement, name_span(root), message, None);
    None
}

fn is_tag(node: Node, tag: &str) -> bool {
    node.is_element() && node.tag_name().namespace().is_none() && node.tag_name().name() == tag
}

pub(crate) fn name_span(node: Node) -> Range<usize> {
    let start = node.range().start + 1;
    start..start + node.tag_name().name().len()
}

/// A name from the file, cut to a length that fits a message.
fn short(name: &str) -> String {
    name.chars().take(64).collect()
}
