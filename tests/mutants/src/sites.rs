//! Where in a file its mutants are, and which text does what each of them does.

use crate::mutant::{Genre, Mutant, Number, Place};
use proc_macro2::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr};

/// A change of the text. Sites lie one inside another or apart.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) range: Range<usize>,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// The expression, or what each mutant makes of it.
    Choice(Vec<(Number, String)>),
    /// A guard of an arm.
    Guard { gone: Vec<Number>, yes: Vec<Number>, no: Vec<Number>, bare: bool },
    /// An arm without a guard gets one (at the end of its pattern).
    Arm(Vec<Number>),
    /// Values that a function returns at once (at the start of its body).
    Values(Vec<(Number, String)>),
    /// Text that goes.
    Remove,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    pub(crate) sites: Vec<Site>,
    /// A switch can't stand there.
    pub(crate) aside: Vec<Number>,
    /// Would not compile.
    pub(crate) unviable: Vec<Number>,
}

pub(crate) fn find(
    source: &str,
    file: &syn::File,
    mutants: &[&Mutant],
    keep_const: &BTreeSet<String>,
) -> Sites {
    let mut wanted: BTreeMap<(Genre, Place), Vec<&Mutant>> = BTreeMap::new();
    for mutant in mutants {
        wanted.entry((mutant.genre, mutant.span.start)).or_default().push(mutant);
    }
    let mut finder = Finder {
        source,
        keep_const,
        wanted,
        found: Sites::default(),
        constant: false,
        const_fn: None,
        chain: Chain::None,
    };
    finder.visit_file(file);
    // What no expression of the file answers to, such as the inside of a macro.
    let rest = finder.wanted.into_values().flatten().map(|mutant| mutant.number);
    finder.found.aside.extend(rest);
    finder.found
}

/// The binary expressions that hang together without parentheses. An operator is replaced in the text, as cargo-mutants
/// does it, and another precedence may group the whole anew: so the whole is what there is a choice of.
#[derive(Clone)]
enum Chain {
    None,
    Whole(Range<usize>),
    /// Operands of `&&` with a `let` among them, which can't stand in parentheses.
    Let,
}

struct Finder<'a> {
    source: &'a str,
    keep_const: &'a BTreeSet<String>,
    wanted: BTreeMap<(Genre, Place), Vec<&'a Mutant>>,
    found: Sites,
    constant: bool,
    const_fn: Option<(String, Range<usize>)>,
    chain: Chain,
}

impl<'a> Finder<'a> {
    /// The mutants that begin at `span`, where a switch can stand.
    fn take(&mut self, genre: Genre, span: Span) -> Vec<&'a Mutant> {
        let start = span.start();
        let place = Place { line: start.line, column: start.column + 1 };
        let Some(here) = self.wanted.remove(&(genre, place)) else { return Vec::new() };
        if self.constant || self.const_fn.as_ref().is_some_and(|(name, _)| self.keep_const.contains(name)) {
            self.found.aside.extend(here.iter().map(|mutant| mutant.number));
            return Vec::new();
        }
        if let Some((_, range)) = &self.const_fn {
            // Functions are `const` only where something asks for it, which the compiler then says.
            if !self.found.sites.iter().any(|site| site.range == *range) {
                self.found.sites.push(Site { range: range.clone(), what: What::Remove });
            }
        }
        here
    }

    fn choose(&mut self, range: &Range<usize>, more: Vec<(Number, String)>) {
        if more.is_empty() {
            return;
        }
        for site in &mut self.found.sites {
            if site.range == *range
                && let What::Choice(all) = &mut site.what
            {
                all.extend(more);
                return;
            }
        }
        self.found.sites.push(Site { range: range.clone(), what: What::Choice(more) });
    }

    fn function(&mut self, signature: &syn::Signature, attributes: &[syn::Attribute], body: &syn::Block) {
        let Some(first) = body.stmts.first() else { return };
        let values = self.take(Genre::FnValue, first.span());
        if values.is_empty() {
            return;
        }
        if matches!(&signature.output, syn::ReturnType::Type(_, to) if self.source[to.span().byte_range()].contains("impl "))
        {
            // Another type than the body's is fine in its place, but not beside it.
            self.found.aside.extend(values.iter().map(|mutant| mutant.number));
            return;
        }
        let inner = attributes.iter().filter(|one| matches!(one.style, syn::AttrStyle::Inner(_)));
        let open = body.brace_token.span.open().byte_range().end;
        let at = inner.map(|one| one.span().byte_range().end).fold(open, usize::max);
        let values = values.iter().map(|mutant| (mutant.number, mutant.replacement.clone())).collect();
        self.found.sites.push(Site { range: at..at, what: What::Values(values) });
    }

    fn within(
        &mut self,
        signature: &syn::Signature,
        attributes: &[syn::Attribute],
        body: &syn::Block,
        go: impl FnOnce(&mut Self),
    ) {
        let const_fn =
            signature.constness.map(|word| (signature.ident.to_string(), word.span().byte_range()));
        let before = (
            std::mem::replace(&mut self.const_fn, const_fn),
            std::mem::replace(&mut self.constant, false),
            std::mem::replace(&mut self.chain, Chain::None),
        );
        self.function(signature, attributes, body);
        go(self);
        (self.const_fn, self.constant, self.chain) = before;
    }

    fn constant(&mut self, go: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.constant, true);
        go(self);
        self.constant = before;
    }

    fn binary(&mut self, binary: &syn::ExprBinary) {
        let range = binary.span().byte_range();
        let chain = match &self.chain {
            Chain::None if has_let_binary(binary) => Chain::Let,
            Chain::None => Chain::Whole(range),
            other => other.clone(),
        };
        let operator = binary.op.span();
        let here = self.take(Genre::BinaryOperator, operator);
        match &chain {
            Chain::Whole(whole) => {
                let at = operator.byte_range();
                let (left, right) = (&self.source[whole.start..at.start], &self.source[at.end..whole.end]);
                let all = here
                    .iter()
                    .map(|mutant| (mutant.number, format!("{left} {} {right}", mutant.replacement)))
                    .collect();
                self.choose(&whole.clone(), all);
            }
            // `||` beside a `let` is no Rust.
            Chain::Let | Chain::None => self.found.unviable.extend(here.iter().map(|mutant| mutant.number)),
        }
        for operand in [&binary.left, &binary.right] {
            let goes_on = match (&chain, &**operand) {
                (Chain::Whole(_), Expr::Binary(_)) => true,
                (Chain::Let, Expr::Binary(inner)) => matches!(inner.op, BinOp::And(_)),
                _ => false,
            };
            self.chain = if goes_on { chain.clone() } else { Chain::None };
            self.visit_expr(operand);
        }
    }

    fn arm(&mut self, arm: &syn::Arm) {
        let gone: Vec<Number> =
            self.take(Genre::MatchArm, arm.span()).iter().map(|mutant| mutant.number).collect();
        let Some((_, guard)) = &arm.guard else {
            if !gone.is_empty() {
                let end = arm.pat.span().byte_range().end;
                self.found.sites.push(Site { range: end..end, what: What::Arm(gone) });
            }
            return;
        };
        let here = self.take(Genre::MatchArmGuard, guard.span());
        let bare = has_let(guard);
        if bare {
            self.found.aside.extend(here.iter().map(|mutant| mutant.number));
        }
        let to = |word: &str| -> Vec<Number> {
            let of = here.iter().filter(|mutant| !bare && mutant.replacement == word);
            of.map(|mutant| mutant.number).collect()
        };
        let (yes, no) = (to("true"), to("false"));
        if !(gone.is_empty() && yes.is_empty() && no.is_empty()) {
            let range = guard.span().byte_range();
            self.found.sites.push(Site { range, what: What::Guard { gone, yes, no, bare } });
        }
    }
}

fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let_binary(binary),
        _ => false,
    }
}

fn has_let_binary(binary: &syn::ExprBinary) -> bool {
    has_let(&binary.left) || has_let(&binary.right)
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_expr(&mut self, expression: &'ast Expr) {
        if let Expr::Binary(binary) = expression {
            let before = self.chain.clone();
            self.binary(binary);
            self.chain = before;
            return;
        }
        let before = std::mem::replace(&mut self.chain, Chain::None);
        let range = expression.span().byte_range();
        match expression {
            Expr::Unary(unary) => {
                let operand = self.source[unary.op.span().byte_range().end..range.end].to_owned();
                let here = self.take(Genre::UnaryOperator, unary.op.span());
                let all = here.iter().map(|mutant| (mutant.number, operand.clone())).collect();
                self.choose(&range, all);
            }
            Expr::Struct(whole) => {
                for pair in whole.fields.pairs() {
                    let field = pair.value().span();
                    let end =
                        pair.punct().map_or(field.byte_range().end, |comma| comma.span().byte_range().end);
                    let without = format!(
                        "{}{}",
                        &self.source[range.start..field.byte_range().start],
                        &self.source[end..range.end]
                    );
                    let here = self.take(Genre::StructField, field);
                    let all = here.iter().map(|mutant| (mutant.number, without.clone())).collect();
                    self.choose(&range, all);
                }
            }
            _ => {}
        }
        if let Expr::Repeat(repeat) = expression {
            self.visit_expr(&repeat.expr);
            self.constant(|this| this.visit_expr(&repeat.len));
        } else {
            visit::visit_expr(self, expression);
        }
        self.chain = before;
    }

    fn visit_expr_match(&mut self, item: &'ast syn::ExprMatch) {
        // Where each `_` has a guard, every other arm is needed. The compiler would say so of the whole `match`.
        let catches = |arm: &syn::Arm| match &arm.pat {
            syn::Pat::Wild(_) => arm.guard.is_none(),
            syn::Pat::Ident(name) => {
                arm.guard.is_none() && name.ident.to_string().starts_with(|c: char| c.is_lowercase())
            }
            _ => false,
        };
        if !item.arms.iter().any(catches) {
            for arm in item.arms.iter().filter(|arm| arm.guard.is_none()) {
                let gone = self.take(Genre::MatchArm, arm.span());
                self.found.unviable.extend(gone.iter().map(|mutant| mutant.number));
            }
        }
        visit::visit_expr_match(self, item);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        self.arm(arm);
        visit::visit_arm(self, arm);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within(&item.sig, &item.attrs, &item.block, |this| visit::visit_item_fn(this, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.within(&item.sig, &item.attrs, &item.block, |this| visit::visit_impl_item_fn(this, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.within(&item.sig, &item.attrs, body, |this| visit::visit_trait_item_fn(this, item));
        }
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.constant(|this| visit::visit_item_const(this, item));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.constant(|this| visit::visit_item_static(this, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.constant(|this| visit::visit_impl_item_const(this, item));
    }

    fn visit_trait_item_const(&mut self, item: &'ast syn::TraitItemConst) {
        self.constant(|this| visit::visit_trait_item_const(this, item));
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.constant(|this| visit::visit_item_enum(this, item));
    }

    fn visit_type_array(&mut self, item: &'ast syn::TypeArray) {
        self.constant(|this| visit::visit_type_array(this, item));
    }

    fn visit_generic_argument(&mut self, item: &'ast syn::GenericArgument) {
        self.constant(|this| visit::visit_generic_argument(this, item));
    }

    fn visit_expr_const(&mut self, item: &'ast syn::ExprConst) {
        self.constant(|this| visit::visit_expr_const(this, item));
    }
}
