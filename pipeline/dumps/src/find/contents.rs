//! What a file holds, or each file of an archive.
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{
        archive::{self, Member, Unpackable},
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
    let members = match Format::of(&start) {
        Some(format) if format.is_tar() => archive::of_tar(path),
        Some(format) if format.is_zip() && opened.compression.is_none() => archive::of_zip(path),
        _ => return whole.contents(given),
    };
    let archive::Files { members, others, damage } = members.map_err(FindError::read(path))?;
    let mut all = Vec::new();
    match damage {
        Some(why) => all.push(whole.skipped(opened.compression, SkipReason::DamagedArchive { why })),
        None if members.is_empty() && others.is_empty() => {
            all.push(whole.skipped(opened.compression, SkipReason::Empty));
        }
        None => {}
    }
    // As in a folder, hidden files are left out; so are those that a Mac adds.
    let is_hidden = |name: &str| {
        name.split('/').any(|part| part.starts_with('.') && ![".", ".."].contains(&part) || part == "__MACOSX")
    };
    for member in members.into_iter().filter(|member| !is_hidden(&member.name)) {
        let name = whole.name.of_member(&member.name);
        let inside = Candidate { name, bytes: member.bytes, member: Some(member), ..whole.clone() };
        all.extend(inside.contents(given)?);
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
                holds,
                ratings,
                damage,
            }))
        };
        Ok(all.into_iter().map(content).collect())
    }
}
