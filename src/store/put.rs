//! Small bodies in one request: by the short way or the SDK's, with the check that the store honours.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>

use super::{
    S3,
    check::{Check, Proof},
    error::{fault, what},
    metadata, object,
    payload::Payload,
    s3::{Condition, tag},
    throttle::Throttle,
};
use crate::model::{Class, ETag, Fault, Spec};
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::put_object::{PutObjectError, builders::PutObjectFluentBuilder},
    types::ServerSideEncryption,
};

const PUT: &str = "PutObject";

/// A tag as it is answered.
pub(super) struct Tagged {
    pub(super) etag: ETag,
    /// What is stored is encrypted so that the tag is no digest, whatever it looks like.
    pub(super) opaque: bool,
}

impl Tagged {
    /// With what the answer says of encryption: by the store, and with a customer's key.
    pub(super) fn new(etag: ETag, sse: Option<&str>, customer: Option<&str>) -> Self {
        Self { etag, opaque: customer.is_some() || sse.is_some_and(|sse| sse.starts_with("aws:kms")) }
    }
}

impl S3 {
    /// PUT of the whole object in one request, signed and timed by the caller.
    pub(super) fn put_request(
        &self,
        full: &str,
        (payload, throttle): (&Payload, &Throttle),
        spec: Option<&Spec>,
        (if_none_match, if_match): Condition,
    ) -> PutObjectFluentBuilder {
        let request = self
            .client()
            .put_object()
            .bucket(self.bucket())
            .key(full)
            .content_type(metadata::content_type(full))
            .set_metadata(spec.map(|spec| metadata::outgoing(spec, Some(payload.sha256), None)))
            .set_checksum_sha256(payload.proof.sha256())
            .set_checksum_crc64_nvme(payload.proof.crc64())
            .set_content_md5(payload.proof.md5())
            .set_if_none_match(if_none_match)
            .set_if_match(if_match)
            .body(payload.body(throttle));
        let chosen = if spec.is_some() { self.chosen(full) } else { self.options().objects.own() };
        object::put(request, chosen, payload.proof.check())
    }

    /// Sends that PUT, the short way if it may.
    pub(super) async fn put(
        &self,
        full: &str,
        payload: &Payload,
        spec: Option<&Spec>,
        condition: Condition,
    ) -> Result<ETag, Fault> {
        self.send(payload.len(), || self.put_once(full, payload, spec, condition.clone())).await
    }

    async fn put_once(
        &self,
        full: &str,
        payload: &Payload,
        spec: Option<&Spec>,
        condition: Condition,
    ) -> Result<ETag, Fault> {
        if let Some(spec) = spec
            && let Some(said) = self.direct().put(self, full, payload, spec, &condition).await
        {
            return said.and_then(|tagged| self.confirm(PUT, full, payload, tagged));
        }
        let refused = match Box::pin(self.put_by_sdk(full, payload, spec, condition.clone())).await {
            // before the probe nobody knows whether it takes such a header at all
            Err(refused) if self.known().is_none() && may_be_the_check(payload, &refused) => refused,
            answer => return answer.map_err(|e| fault(PUT, full, &e))?.confirmed(self, full, payload),
        };
        let payload = payload.with_md5().await?;
        match Box::pin(self.put_by_sdk(full, &payload, spec, condition)).await {
            Ok(answer) => {
                self.takes_no_checksums(&fault(PUT, full, &refused));
                answer.confirmed(self, full, &payload)
            }
            Err(error) => Err(fault(PUT, full, &error)),
        }
    }

    async fn put_by_sdk(
        &self,
        full: &str,
        payload: &Payload,
        spec: Option<&Spec>,
        condition: Condition,
    ) -> Result<Answer, SdkError<PutObjectError, HttpResponse>> {
        let learn = self.direct().learn(full, self.options().connect_timeout);
        let throttle = self.options().throttle.for_request();
        let request = self
            .put_request(full, (payload, &throttle), spec, condition)
            .customize()
            .interceptor(learn)
            .interceptor(payload.signed())
            .config_override(payload.unhurried(self.options(), &throttle));
        let answer = payload.watched(self.options(), throttle, request.send()).await?;
        Ok(Answer {
            etag: answer.e_tag,
            sse: answer.server_side_encryption,
            customer: answer.sse_customer_algorithm,
        })
    }

    /// Where the store looks at no checksum of a body, its tag has to be the MD5 of what was sent; if its tags are no
    /// digests, nothing shows what it took.
    ///
    /// # Errors
    /// `Transient`: it holds other bytes.
    pub(super) fn confirm(
        &self,
        operation: &str,
        full: &str,
        payload: &Payload,
        Tagged { etag, opaque }: Tagged,
    ) -> Result<ETag, Fault> {
        let (Proof::Md5(sent), Some(can)) = (payload.proof, self.known()) else { return Ok(etag) };
        match etag.as_md5() {
            Some((held, None)) if can.etag_is_md5 && !opaque && held != sent => {
                let cause = format!("the store holds other bytes than were sent: their MD5 is {etag}");
                Err(Fault::new(Class::Transient, what(operation, full), cause))
            }
            Some((_, None)) if can.etag_is_md5 && !opaque => Ok(etag),
            _ => {
                if !can.verifies_md5 {
                    self.is_blind();
                }
                Ok(etag)
            }
        }
    }
}

/// What an answer to a PUT says.
struct Answer {
    etag: Option<String>,
    sse: Option<ServerSideEncryption>,
    customer: Option<String>,
}

impl Answer {
    fn confirmed(self, store: &S3, full: &str, payload: &Payload) -> Result<ETag, Fault> {
        let etag = tag(PUT, full, self.etag.as_deref())?;
        let sse = self.sse.as_ref().map(ServerSideEncryption::as_str);
        store.confirm(PUT, full, payload, Tagged::new(etag, sse, self.customer.as_deref()))
    }
}

/// True if it may have been refused for its `x-amz-checksum-…`.
fn may_be_the_check(payload: &Payload, refused: &SdkError<PutObjectError, HttpResponse>) -> bool {
    let status = refused.raw_response().map_or(0, |raw| raw.status().as_u16());
    let code = refused.code().unwrap_or_default();
    payload.proof.check() != Check::Md5
        && (status == 501
            || status == 400 && matches!(code, "InvalidRequest" | "InvalidArgument" | "NotImplemented"))
}
