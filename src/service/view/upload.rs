//! Wire shapes of uploads: what is announced, and what to do with it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::checksum::Checksum;
use crate::model::did::Did;
use crate::model::endpoint::EndpointName;
use crate::model::time::Timestamp;
use crate::service::view::MetadataObject;

/// Files about to be uploaded to one dataset through one endpoint.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUploads {
    /// The dataset they join; made if it is missing and its scope exists.
    pub to: Did,
    /// The endpoint that takes the bytes.
    pub endpoint: EndpointName,
    /// At most 1,000 files.
    #[schema(max_items = 1000)]
    pub files: Vec<NewUpload>,
}

/// A file about to be uploaded.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUpload {
    /// Its name in the dataset's scope.
    #[schema(value_type = crate::model::did::DidName)]
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its bytes; an upload whose bytes differ is refused.
    pub checksum: Checksum,
    /// What is said of it; shown with the file. Of one that is there it takes the place of what there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<MetadataObject>,
}

/// What to do with a file that was announced, in the order of the announcement.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum UploadView {
    /// Send the bytes with one PUT to this URL.
    Put {
        /// A signed URL, good for one file, until `expires_at`.
        url: String,
        /// When it expires.
        expires_at: Timestamp,
    },
    /// The same bytes are there already, and the file is in the dataset.
    Done,
    /// The file cannot be taken.
    Refused {
        /// A stable name of the reason.
        code: String,
        /// What to do about it.
        detail: String,
    },
}

/// The answer to an announcement.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Uploads {
    /// One entry for each file announced, in its order.
    pub items: Vec<UploadView>,
}

/// What a PUT of bytes answers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Uploaded {
    /// The file.
    pub did: Did,
    /// Its length.
    pub bytes: u64,
    /// What its bytes gave.
    pub checksum: Checksum,
}
