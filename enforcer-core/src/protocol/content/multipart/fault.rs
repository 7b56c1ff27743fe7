// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a form is refused: each way in which two readers could read other fields in the same bytes has a name.

use crate::model::limits::{FORM_BOUNDARY_BYTES_MAX, FORM_PART_HEAD_BYTES_MAX, FORM_PARTS_MAX};

/// Why a form cannot be read, or cannot be rewritten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The form as a whole.
    #[error("failed to read a form: {0}")]
    Form(Fault),
    /// One part of it.
    #[error("failed to read part {part} of a form: {fault}")]
    Part {
        /// The number of the part, from 1.
        part: usize,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A field from which a fact would be made.
    #[error("failed to read the field `{name}` of a form: {fault}")]
    Field {
        /// The name that was asked for.
        name: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A change of a part.
    #[error("failed to change part {part} of a form: {fault}")]
    Change {
        /// The number of the part, from 1.
        part: usize,
        /// What is wrong with the change.
        fault: Fault,
    },
}

/// What is wrong with a form or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Another media type, or one that cannot be read.
    #[error("its Content-Type is not `multipart/form-data`")]
    NotForm,
    /// A Content-Type without the parameter, or with more parameters than it and the charset.
    #[error("its Content-Type does not name a boundary and nothing else")]
    NoBoundary,
    /// RFC 2046 section 5.1.1, without the space, which some readers cut off.
    #[error(
        "its boundary is not 1 to {FORM_BOUNDARY_BYTES_MAX} letters, digits and signs of `'()+_,-./:=?`"
    )]
    BoundaryUnfit,
    /// RFC 7578 section 5.1 knows no preamble.
    #[error("it does not begin with its boundary")]
    Preamble,
    /// More than two line ends behind the last boundary.
    #[error("something follows its last boundary")]
    Epilogue,
    /// The end is missing.
    #[error("its last boundary is missing")]
    Unfinished,
    /// The bytes of the boundary, but not as a whole line: some readers would cut there.
    #[error("its boundary also stands where no part begins or ends")]
    BoundaryInside,
    /// Above the bound.
    #[error("it has more than {FORM_PARTS_MAX} parts")]
    TooManyParts,
    /// Above the bound.
    #[error("its headers have more than {FORM_PART_HEAD_BYTES_MAX} bytes")]
    HeadTooLarge,
    /// No empty line between headers and content.
    #[error("no empty line ends its headers")]
    HeadUnfinished,
    /// A line feed or carriage return alone.
    #[error("a line of its headers does not end with CRLF")]
    LineEnd,
    /// A line that begins with a space or tab.
    #[error("a header goes on in the next line")]
    Folded,
    /// No name, no colon, control characters, or not UTF-8.
    #[error("a header cannot be read")]
    Header,
    /// Something else than Content-Disposition, Content-Type, Content-Length and Content-Transfer-Encoding.
    #[error("it has a header that forms do not have")]
    UnknownHeader,
    /// Two readers would take different ones.
    #[error("it has the same header twice")]
    HeaderTwice,
    /// Not `name=value` with a token or a quoted string.
    #[error("a parameter of a header cannot be read")]
    Parameter,
    /// Two readers would take different ones.
    #[error("a header has the same parameter twice")]
    ParameterTwice,
    /// RFC 7578 section 4.2 forbids it; some readers take it first, others not at all.
    #[error("a header has a parameter in the extended notation, such as `filename*`")]
    Extended,
    /// Some readers drop it, others do not.
    #[error("a quoted parameter has a backslash")]
    Backslash,
    /// Missing, not `form-data`, without a name, or with other parameters than `name` and `filename`.
    #[error("it has no Content-Disposition that reads `form-data` with a name")]
    Disposition,
    /// Other characters are escapes for some readers.
    #[error("its name has another character than letters, digits and `_-.[]`")]
    Name,
    /// A semicolon, at which some readers cut, or an encoded word (RFC 2047), which some readers decode.
    #[error("its file name has a semicolon or `=?`")]
    FileName,
    /// A part that has parts itself.
    #[error("it is a form within the form")]
    Nested,
    /// Another charset than UTF-8, or a part named `_charset_` (RFC 7578 section 4.6).
    #[error("it names another charset than UTF-8")]
    Charset,
    /// RFC 7578 section 4.7: only what leaves the content as it is.
    #[error("its Content-Transfer-Encoding is not `binary`, `8bit` or `7bit`")]
    TransferEncoding,
    /// The header and the boundaries disagree.
    #[error("its Content-Length is not the length of its content")]
    Length,
    /// Two readers would take different ones.
    #[error("more than one part can be taken for it")]
    Twice,
    /// Some readers do not take a file for a field.
    #[error("it is a file")]
    IsFile,
    /// Not UTF-8.
    #[error("it is not text")]
    NotText,
    /// The new content or file name would end the part.
    #[error("the new content has the boundary")]
    HasBoundary,
    /// There is no such part or no such thing in it, or it is changed twice.
    #[error("there is nothing to change")]
    NoPlace,
}
