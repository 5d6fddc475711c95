//! The operations s3s dispatches: each takes its input apart, asks the room that knows, and answers.

use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::bucket::Versioning;
use super::fault::{Faults, Kind, kinds, linger};
use super::object::check_tags;
use super::state::State;
use super::{copy, delete, get, listing, multipart, put, versions};

pub(super) struct Backend {
    pub(super) state: Arc<State>,
    pub(super) faults: Faults,
    pub(super) region: String,
}

type Answer<T> = S3Result<S3Response<T>>;

fn answer<T>(output: T) -> Answer<T> {
    Ok(S3Response::new(output))
}

#[async_trait::async_trait]
impl S3 for Backend {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        answer(put::object(&self.state, request).await?)
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        answer(get::object(&self.state, request)?)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        answer(get::head(&self.state, request)?)
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        answer(delete::object(&self.state, request).await?)
    }

    async fn delete_objects(&self, request: S3Request<DeleteObjectsInput>) -> Answer<DeleteObjectsOutput> {
        answer(delete::objects(&self.state, &self.faults, request).await?)
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        answer(put::part(&self.state, request).await?)
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        linger(kinds(&request.extensions)).await;
        answer(copy::object(&self.state, request).await?)
    }

    async fn list_objects(&self, request: S3Request<ListObjectsInput>) -> Answer<ListObjectsOutput> {
        let bucket = self.state.bucket(&request.input.bucket)?;
        answer(listing::objects_v1(&bucket, request.input, kinds(&request.extensions))?)
    }

    async fn list_objects_v2(&self, request: S3Request<ListObjectsV2Input>) -> Answer<ListObjectsV2Output> {
        let bucket = self.state.bucket(&request.input.bucket)?;
        answer(listing::objects(&bucket, request.input, kinds(&request.extensions))?)
    }

    async fn list_object_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> Answer<ListObjectVersionsOutput> {
        let bucket = self.state.bucket(&request.input.bucket)?;
        answer(versions::list(&bucket, request.input, kinds(&request.extensions))?)
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        let bucket = self.state.bucket(&request.input.bucket)?;
        let (name, key) = (request.input.bucket.clone(), request.input.key.clone());
        let (algorithm, kind) =
            (request.input.checksum_algorithm.clone(), request.input.checksum_type.clone());
        let (id, attributes) = multipart::create(&bucket, request.input)?;
        answer(CreateMultipartUploadOutput {
            bucket: Some(name),
            checksum_algorithm: algorithm,
            checksum_type: kind,
            key: Some(key),
            server_side_encryption: attributes.encryption().server_side_encryption.clone(),
            sse_customer_algorithm: attributes.encryption().sse_customer_algorithm.clone(),
            sse_customer_key_md5: attributes.encryption().sse_customer_key_md5.clone(),
            ssekms_key_id: attributes.encryption().ssekms_key_id.clone(),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        })
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> Answer<UploadPartCopyOutput> {
        answer(copy::part(&self.state, request).await?)
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let kinds = kinds(&request.extensions);
        let bucket = self.state.bucket(&request.input.bucket)?;
        linger(kinds).await;
        let ignore = kinds.contains(&Kind::IgnoreConditions);
        let random = kinds.contains(&Kind::RandomEtag);
        answer(multipart::complete(&bucket, request.input, self.state.minimum_part, ignore, random)?)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        let bucket = self.state.bucket(&request.input.bucket)?;
        multipart::abort(&bucket, &request.input.key, &request.input.upload_id)?;
        answer(AbortMultipartUploadOutput::default())
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        let bucket = self.state.bucket(&request.input.bucket)?;
        answer(multipart::list_parts(&bucket, request.input)?)
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        let bucket = self.state.bucket(&request.input.bucket)?;
        answer(multipart::list_uploads(&bucket, request.input)?)
    }

    async fn get_object_acl(&self, request: S3Request<GetObjectAclInput>) -> Answer<GetObjectAclOutput> {
        let input = request.input;
        let (object, _) = self.state.bucket(&input.bucket)?.get(&input.key, input.version_id.as_deref())?;
        answer(object.attributes.guard().grants())
    }

    async fn get_object_tagging(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> Answer<GetObjectTaggingOutput> {
        let input = request.input;
        let (object, version_id) =
            self.state.bucket(&input.bucket)?.get(&input.key, input.version_id.as_deref())?;
        let tag =
            |(key, value): &(String, String)| Tag { key: Some(key.clone()), value: Some(value.clone()) };
        answer(GetObjectTaggingOutput { tag_set: object.tags.iter().map(tag).collect(), version_id })
    }

    async fn put_object_tagging(
        &self,
        request: S3Request<PutObjectTaggingInput>,
    ) -> Answer<PutObjectTaggingOutput> {
        let input = request.input;
        let tag = |tag: Tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
        let tags = check_tags(input.tagging.tag_set.into_iter().map(tag).collect())?;
        let version_id =
            self.state.bucket(&input.bucket)?.retag(&input.key, input.version_id.as_deref(), tags)?;
        answer(PutObjectTaggingOutput { version_id })
    }

    async fn delete_object_tagging(
        &self,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> Answer<DeleteObjectTaggingOutput> {
        let input = request.input;
        let bucket = self.state.bucket(&input.bucket)?;
        let version_id = bucket.retag(&input.key, input.version_id.as_deref(), Vec::new())?;
        answer(DeleteObjectTaggingOutput { version_id })
    }

    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> Answer<CreateBucketOutput> {
        let name = request.input.bucket;
        if !self.state.create(&name) {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
        answer(CreateBucketOutput { location: Some(format!("/{name}")) })
    }

    async fn delete_bucket(&self, request: S3Request<DeleteBucketInput>) -> Answer<DeleteBucketOutput> {
        self.state.delete(&request.input.bucket)?;
        answer(DeleteBucketOutput::default())
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        self.state.bucket(&request.input.bucket)?;
        answer(HeadBucketOutput { bucket_region: Some(self.region.clone()), ..HeadBucketOutput::default() })
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> Answer<ListBucketsOutput> {
        let bucket = |(name, bucket): (String, Arc<super::bucket::Bucket>)| Bucket {
            creation_date: Some(bucket.created.into()),
            name: Some(name),
            ..Bucket::default()
        };
        answer(ListBucketsOutput {
            buckets: Some(self.state.buckets().into_iter().map(bucket).collect()),
            ..ListBucketsOutput::default()
        })
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> Answer<GetBucketLocationOutput> {
        self.state.bucket(&request.input.bucket)?;
        // us-east-1 is told by saying nothing.
        let told = Some(&self.region).filter(|region| *region != "us-east-1");
        answer(GetBucketLocationOutput {
            location_constraint: told.cloned().map(BucketLocationConstraint::from),
        })
    }

    async fn get_bucket_versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> Answer<GetBucketVersioningOutput> {
        let status = match self.state.bucket(&request.input.bucket)?.read().versioning {
            Versioning::Off => None,
            Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
            Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
        };
        answer(GetBucketVersioningOutput {
            status: status.map(BucketVersioningStatus::from_static),
            ..GetBucketVersioningOutput::default()
        })
    }

    async fn put_bucket_versioning(
        &self,
        request: S3Request<PutBucketVersioningInput>,
    ) -> Answer<PutBucketVersioningOutput> {
        let status = request.input.versioning_configuration.status;
        let versioning = match status.as_ref().map(BucketVersioningStatus::as_str) {
            Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
            Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
            _ => return Err(s3_error!(IllegalVersioningConfigurationException)),
        };
        self.state.bucket(&request.input.bucket)?.write().versioning = versioning;
        answer(PutBucketVersioningOutput::default())
    }

    async fn get_bucket_lifecycle_configuration(
        &self,
        request: S3Request<GetBucketLifecycleConfigurationInput>,
    ) -> Answer<GetBucketLifecycleConfigurationOutput> {
        let lifecycle = self.state.bucket(&request.input.bucket)?.read().lifecycle.clone();
        let lifecycle: BucketLifecycleConfiguration =
            lifecycle.ok_or_else(|| -> S3Error { s3_error!(NoSuchLifecycleConfiguration) })?;
        answer(GetBucketLifecycleConfigurationOutput {
            rules: Some(lifecycle.rules),
            ..GetBucketLifecycleConfigurationOutput::default()
        })
    }

    async fn put_bucket_lifecycle_configuration(
        &self,
        request: S3Request<PutBucketLifecycleConfigurationInput>,
    ) -> Answer<PutBucketLifecycleConfigurationOutput> {
        let input = request.input;
        let lifecycle = input.lifecycle_configuration.ok_or_else(|| s3_error!(MalformedXML))?;
        self.state.bucket(&input.bucket)?.write().lifecycle = Some(lifecycle);
        answer(PutBucketLifecycleConfigurationOutput::default())
    }

    async fn delete_bucket_lifecycle(
        &self,
        request: S3Request<DeleteBucketLifecycleInput>,
    ) -> Answer<DeleteBucketLifecycleOutput> {
        self.state.bucket(&request.input.bucket)?.write().lifecycle = None;
        answer(DeleteBucketLifecycleOutput::default())
    }
}
