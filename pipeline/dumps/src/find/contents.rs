//! What a file holds, or each file of an archive.
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{
        archive::{self, Member, Rest, Unpackable},
        layout::Layout,
        mapping::Mapping,
        open::{Compression, open},
    },
    DumpFile, FindError, Format, Given, RelativePath, SkipReason, Skipped,
    recognise::{Bytes, ReadAs, Recognised, START, recognised, start_of},
};

/// What a file holds.
pub(super) enum Content {
    /// Records, or damage before the first.
    Records(Box<DumpFile>),
    /// Anything else.
    Other(Skipped),
}

/// Recognizes a file, or all files of an archive.
pub(super) fn recognise(name: &RelativePath, path: &Path, given: Option<&Given>) -> Result<Vec<Content>, FindError> {
    let bytes = fs::metadata(path).map_err(FindError::read(path))?.len();
    let whole = Candidate { name: name.clone(), path: path.to_owned(), bytes, on_disk: bytes, member: None };
    let opened = open(path, Arc::default()).map_err(FindError::read(path))?;
    let (start, _) = start_of(opened.bytes, START);
    let (format, files) = match Format::of(&start) {
        Some(format) if format.is_tar() => (format, archive::of_tar(path)),
        Some(format) if format.is_zip() && opened.compression.is_none() => (format, archive::of_zip(path)),
        _ => return whole.contents(given),
    };
    let archive::Files { members, others, rest } = files.map_err(FindError::read(path))?;
    let mut all = Vec::new();
    if rest.is_none() && members.is_empty() && others.is_empty() {
        all.push(whole.skipped(opened.compression, SkipReason::Empty));
    }
    // As in a folder, hidden files are left out; so are those that a Mac adds.
    let is_hidden = |name: &str| {
        name.split('/').any(|part| part.starts_with('.') && ![".", ".."].contains(&part) || part == "__MACOSX")
    };
    let is_last_hidden = members.last().is_some_and(|last| is_hidden(&last.name));
    for member in members.into_iter().filter(|member| !is_hidden(&member.name)) {
        let name = whole.name.of_member(&member.name);
        let inside = Candidate { name, bytes: member.bytes, member: Some(member), ..whole.clone() };
        all.extend(inside.contents(given)?);
    }
    match rest {
        Some(Rest::TooMany) => all.push(whole.skipped(opened.compression, SkipReason::ManyFiles(format))),
        // Then it is found when the records are read.
        Some(Rest::Damaged { is_in_last: true, .. })
            if !is_last_hidden && matches!(all.last(), Some(Content::Records(_))) => {}
        Some(Rest::Damaged { why, .. }) => all.push(whole.rest(why)),
        None => {}
    }
    for (name, why) in others {
        let reason = match why {
            Unpackable::Encrypted => SkipReason::Encrypted,
            Unpackable::Compression => SkipReason::RareCompression,
        };
        let (name, member) = (whole.name.of_member(&name), Some(name));
        all.push(Content::Other(Skipped { name, path: path.to_owned(), compression: None, member, reason }));
    }
    Ok(all)
}

/// A file that may hold records.
#[derive(Clone)]
struct Candidate {
    name: RelativePath,
    path: PathBuf,
    bytes: u64,
    on_disk: u64,
    member: Option<Member>,
}

impl Candidate {
    /// The files of an archive that damage hides.
    fn rest(&self, why: String) -> Content {
        Content::Records(Box::new(DumpFile {
            name: self.name.clone(),
            path: self.path.clone(),
            bytes: 0,
            on_disk: self.on_disk,
            compressed: false,
            layout: Layout::Lines,
            mapping: None,
            member: None,
            is_hidden: true,
            holds: None,
            ratings: None,
            damage: Some(why),
        }))
    }

    fn skipped(&self, compression: Option<Compression>, reason: SkipReason) -> Content {
        let member = self.member.as_ref().map(|member| member.name.clone());
        Content::Other(Skipped { name: self.name.clone(), path: self.path.clone(), compression, member, reason })
    }

    /// What it holds: once, or twice if products and reviews are read from it.
    fn contents(&self, given: Option<&Given>) -> Result<Vec<Content>, FindError> {
        let error = FindError::read;
        let kept = self.member.as_ref().map(|member| member.keep(&self.path)).transpose();
        let kept = kept.map_err(error(&self.path))?;
        let opened = || match &kept {
            Some(kept) => kept.open(),
            None => open(&self.path, Arc::default()),
        };
        let compression = opened().map_err(error(&self.path))?.compression;
        let open = || Ok(opened()?.bytes);
        let is_plain = self.member.is_none() && compression.is_none();
        let bytes = Bytes { open: &open, file: is_plain.then_some(&self.path) };
        let all = match recognised(&bytes, given).map_err(error(&self.path))? {
            Recognised::Other(reason) => return Ok(vec![self.skipped(compression, reason)]),
            Recognised::Records(all) => all,
        };
        let several = all.len() > 1;
        let content = |ReadAs { layout, mapping, holds, ratings, damage }| {
            let kind = mapping.as_ref().map(|mapping: &Arc<Mapping>| mapping.kind().stem());
            let note = match &layout {
                Layout::Values { path } if !path.is_empty() => Some(path.join(".")),
                _ => kind.map(str::to_owned),
            };
            Content::Records(Box::new(DumpFile {
                name: note.filter(|_| several).map_or_else(|| self.name.clone(), |note| self.name.with_note(&note)),
                path: self.path.clone(),
                bytes: self.bytes,
                on_disk: self.on_disk,
                compressed: compression.is_some() || layout.seeks(),
                layout,
                mapping,
                member: self.member.clone(),
                is_hidden: false,
                holds,
                ratings,
                damage,
            }))
        };
        Ok(all.into_iter().map(content).collect())
    }
}
