//! The operations s3s dispatches: each takes its input apart, asks the room that knows, and answers.

use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::bucket::Versioning;
use super::checksum::{Claim, Manner, Received, Sum, put_sum, receive};
use super::condition::{Conditions, ReadConditions, now};
use super::fault::{Faults, Kind, kinds};
use super::object::{Attributes, Object, check_tags, head_output, parse_tags};
use super::state::State;
use super::{copy, listing, multipart, opaque};

/// The most keys of one DeleteObjects.
const MOST_DELETES: usize = 1000;

pub(super) struct Backend {
    pub(super) state: Arc<State>,
    pub(super) faults: Faults,
    pub(super) region: String,
}

type Answer<T> = S3Result<S3Response<T>>;

fn answer<T>(output: T) -> Answer<T> {
    Ok(S3Response::new(output))
}

fn manner(kinds: &[Kind], length: Option<i64>) -> Manner {
    Manner {
        unchecked: kinds.contains(&Kind::NoChecksumVerification),
        framed: kinds.contains(&Kind::StoreFraming),
        length: length.and_then(|length| u64::try_from(length).ok()),
    }
}

/// Holds a request that was taken whole back from its effect.
async fn linger(kinds: &[Kind]) {
    for kind in kinds {
        if let Kind::Linger(time) = kind {
            tokio::time::sleep(*time).await;
        }
    }
}

impl Backend {
    /// GET and HEAD, up to the body: the object, and the answer without it.
    fn open(
        &self,
        input: &GetObjectInput,
        kinds: &[Kind],
    ) -> S3Result<(Arc<Object>, std::ops::Range<u64>, GetObjectOutput)> {
        let (object, version) =
            self.state.bucket(&input.bucket)?.get(&input.key, input.version_id.as_deref())?;
        object.check_key(input.sse_customer_key_md5.as_deref())?;
        if !kinds.contains(&Kind::IgnoreConditions) {
            ReadConditions {
                if_match: input.if_match.as_ref(),
                if_none_match: input.if_none_match.as_ref(),
                if_modified_since: input.if_modified_since.as_ref(),
                if_unmodified_since: input.if_unmodified_since.as_ref(),
            }
            .check(&object)?;
        }
        let (extent, shown) = object.extent(input.range, input.part_number)?;
        let with_sum =
            input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
        let mut output = object.get_output(&extent, with_sum);
        output.content_range = shown;
        output.version_id = version;
        if input.part_number.is_some() {
            output.parts_count = object.parts.as_ref().and_then(|parts| i32::try_from(parts.len()).ok());
        }
        Ok((object, extent, output))
    }

    /// One key of a DeleteObjects.
    fn delete_one(
        &self,
        bucket: &super::bucket::Bucket,
        wanted: &ObjectIdentifier,
        kinds: &[Kind],
    ) -> S3Result<DeletedObject> {
        for kind in self.faults.meet("DeleteObjects", Some(&wanted.key)) {
            match kind {
                Kind::SlowDown => return Err(s3_error!(SlowDown)),
                Kind::InternalError => return Err(s3_error!(InternalError)),
                Kind::AccessDenied => return Err(s3_error!(AccessDenied, "Access Denied")),
                _ => {}
            }
        }
        let mut conditions = Conditions::default();
        if !kinds.contains(&Kind::IgnoreConditions) {
            conditions.if_match = wanted.e_tag.clone().map(|tag| match tag.value() {
                "*" => ETagCondition::Any,
                _ => ETagCondition::ETag(tag),
            });
            conditions.size = wanted.size;
            conditions.modified = wanted.last_modified_time.clone();
        }
        let deleted = bucket.delete(&wanted.key, wanted.version_id.as_deref(), &conditions)?;
        Ok(DeletedObject {
            delete_marker: deleted.marker.then_some(true),
            delete_marker_version_id: deleted.version.filter(|_| deleted.marker),
            key: Some(wanted.key.clone()),
            version_id: wanted.version_id.clone(),
        })
    }
}

#[async_trait::async_trait]
impl S3 for Backend {
    async fn put_object(&self, mut request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let kinds = kinds(&request.extensions);
        let claim = Claim::of(&request.headers)?;
        let input = &mut request.input;
        let bucket = self.state.bucket(&input.bucket)?;
        let attributes = Attributes::from(&mut *input);
        attributes.check()?;
        let tags = parse_tags(input.tagging.as_deref())?;
        let mut conditions = Conditions::default();
        if !kinds.contains(&Kind::IgnoreConditions) {
            conditions.if_match = input.if_match.take();
            conditions.if_none_match = input.if_none_match.take();
        }
        let manner = manner(kinds, input.content_length);
        let trailers = request.trailing_headers.as_ref();
        let Received { body, md5, sum } =
            receive(&self.state.shelf, input.body.take(), claim, trailers, manner).await?;
        linger(kinds).await;
        let random = kinds.contains(&Kind::RandomEtag) || attributes.opaque_etag();
        let object = Object {
            etag: if random { opaque() } else { hex::encode(md5) },
            body,
            modified: now(),
            attributes: Arc::new(attributes),
            sum,
            parts: None,
            tags,
        };
        let attributes = &object.attributes;
        let mut output = PutObjectOutput {
            e_tag: Some(object.tag()),
            checksum_type: object.sum.as_ref().map(Sum::kind),
            server_side_encryption: attributes.server_side_encryption.clone(),
            sse_customer_algorithm: attributes.sse_customer_algorithm.clone(),
            sse_customer_key_md5: attributes.sse_customer_key_md5.clone(),
            ssekms_key_id: attributes.ssekms_key_id.clone(),
            ..PutObjectOutput::default()
        };
        put_sum!(output, &object.sum);
        output.version_id = bucket.put(&input.key, object, &conditions)?;
        answer(output)
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let (object, extent, mut output) = self.open(&request.input, kinds(&request.extensions))?;
        object.check_readable(request.input.sse_customer_key_md5.as_deref())?;
        let whole = extent.end - extent.start == object.body.len();
        let body = if whole { object.body.clone() } else { object.body.slice(extent) };
        output.body = Some(body.stream());
        answer(output)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        let input = request.input;
        let input = GetObjectInput {
            bucket: input.bucket,
            checksum_mode: input.checksum_mode,
            if_match: input.if_match,
            if_modified_since: input.if_modified_since,
            if_none_match: input.if_none_match,
            if_unmodified_since: input.if_unmodified_since,
            key: input.key,
            part_number: input.part_number,
            range: input.range,
            sse_customer_key_md5: input.sse_customer_key_md5,
            version_id: input.version_id,
            ..GetObjectInput::default()
        };
        let (_, _, output) = self.open(&input, kinds(&request.extensions))?;
        // 206 for a part or a range, as for a GET.
        let status = if output.content_range.is_some() {
            http::StatusCode::PARTIAL_CONTENT
        } else {
            http::StatusCode::OK
        };
        Ok(S3Response::with_status(head_output(output), status))
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        linger(kinds(&request.extensions)).await;
        answer(copy::object(&self.state, request).await?)
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        linger(kinds(&request.extensions)).await;
        let mut conditions = Conditions::default();
        if !kinds(&request.extensions).contains(&Kind::IgnoreConditions) {
            conditions.if_match = request.input.if_match;
            conditions.size = request.input.if_match_size;
            conditions.modified = request.input.if_match_last_modified_time;
        }
        let bucket = self.state.bucket(&request.input.bucket)?;
        let deleted = bucket.delete(&request.input.key, request.input.version_id.as_deref(), &conditions)?;
        answer(DeleteObjectOutput {
            delete_marker: deleted.marker.then_some(true),
            version_id: deleted.version,
            ..DeleteObjectOutput::default()
        })
    }

    async fn delete_objects(&self, request: S3Request<DeleteObjectsInput>) -> Answer<DeleteObjectsOutput> {
        let kinds = kinds(&request.extensions);
        let bucket = self.state.bucket(&request.input.bucket)?;
        linger(kinds).await;
        let Delete { objects, quiet } = &request.input.delete;
        if objects.is_empty() || objects.len() > MOST_DELETES {
            return Err(s3_error!(MalformedXML));
        }
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for wanted in objects {
            match self.delete_one(&bucket, wanted, kinds) {
                Ok(_) if *quiet == Some(true) => {}
                Ok(done) => deleted.push(done),
                Err(error) => errors.push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(wanted.key.clone()),
                    message: Some(error.message().unwrap_or(error.code().as_str()).to_owned()),
                    version_id: wanted.version_id.clone(),
                }),
            }
        }
        answer(DeleteObjectsOutput {
            deleted: (!deleted.is_empty()).then_some(deleted),
            errors: (!errors.is_empty()).then_some(errors),
            ..DeleteObjectsOutput::default()
        })
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
        answer(listing::versions(&bucket, request.input, kinds(&request.extensions))?)
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
            server_side_encryption: attributes.server_side_encryption.clone(),
            sse_customer_algorithm: attributes.sse_customer_algorithm.clone(),
            sse_customer_key_md5: attributes.sse_customer_key_md5.clone(),
            ssekms_key_id: attributes.ssekms_key_id.clone(),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        })
    }

    async fn upload_part(&self, mut request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        let kinds = kinds(&request.extensions);
        let input = &mut request.input;
        let bucket = self.state.bucket(&input.bucket)?;
        let terms = multipart::terms(&bucket, &input.key, &input.upload_id, input.part_number)?;
        let claim = Claim::of(&request.headers)?.or_algorithm(terms.algorithm);
        let manner = manner(kinds, input.content_length);
        let trailers = request.trailing_headers.as_ref();
        let received = receive(&self.state.shelf, input.body.take(), claim, trailers, manner).await?;
        linger(kinds).await;
        let etag = terms.etag(received.md5, kinds.contains(&Kind::RandomEtag));
        let mut output = UploadPartOutput {
            e_tag: Some(ETag::Strong(etag.clone())),
            server_side_encryption: terms.attributes.server_side_encryption.clone(),
            ssekms_key_id: terms.attributes.ssekms_key_id.clone(),
            ..UploadPartOutput::default()
        };
        put_sum!(output, &received.sum);
        multipart::keep(&bucket, &input.key, &input.upload_id, input.part_number, etag, received)?;
        answer(output)
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
