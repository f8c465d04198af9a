//! The bucket itself.

use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};

use crate::storage::backend::StorageError;
use crate::storage::s3::bucket::Bucket;
use crate::storage::s3::fault::Refusal;
use crate::storage::s3::site::REGION_DEFAULT;

/// Checks that the bucket is there and lets us look.
pub(super) async fn look(bucket: &Bucket) -> Result<(), StorageError> {
    match bucket.sdk.head_bucket().bucket(&bucket.site.bucket).send().await {
        Ok(_) => Ok(()),
        Err(error) if Refusal::of(&error).is_some_and(|refusal| refusal.status == 404) => {
            Err(StorageError::NoRoot { root: bucket.site.root() })
        }
        Err(error) => {
            let mute = Refusal::of(&error).is_some_and(|refusal| matches!(refusal.status, 301 | 400 | 401 | 403));
            let fault = bucket.fault(&bucket.site.root(), error);
            let told = if mute && !is_misconfigured(&fault) { misconfigured(bucket).await } else { None };
            Err(told.unwrap_or(fault))
        }
    }
}

/// Whether it is the clock or the region for which looking was refused: the answer to that has no
/// words, the one to listing has.
async fn misconfigured(bucket: &Bucket) -> Option<StorageError> {
    let listed = bucket.sdk.list_objects_v2().bucket(&bucket.site.bucket).max_keys(1).send().await;
    let fault = bucket.fault(&bucket.site.root(), listed.err()?);
    is_misconfigured(&fault).then_some(fault)
}

fn is_misconfigured(fault: &StorageError) -> bool {
    matches!(fault, StorageError::Misconfigured { .. })
}

/// Makes the bucket, if it is not there and ours.
pub(super) async fn create(bucket: &Bucket) -> Result<(), StorageError> {
    let request = bucket.sdk.create_bucket().bucket(&bucket.site.bucket);
    let region = &*bucket.site.region;
    let request = match region {
        REGION_DEFAULT => request,
        _ => {
            let constraint = BucketLocationConstraint::from(region);
            let configuration = CreateBucketConfiguration::builder().location_constraint(constraint).build();
            request.create_bucket_configuration(configuration)
        }
    };
    let Err(error) = request.send().await else { return Ok(()) };
    match Refusal::of(&error) {
        Some(refusal) if refusal.code == "BucketAlreadyOwnedByYou" => Ok(()),
        // Some stores say this of our own, too; of somebody else's, looking is denied.
        Some(refusal) if refusal.code == "BucketAlreadyExists" || refusal.status == 409 => look(bucket).await,
        _ => Err(bucket.fault(&bucket.site.root(), error)),
    }
}
