//! A page in HTML is no answer of S3's, whatever its status: a proxy or a login page stands in between. Other
//! answers lack then what they must have; that to a DELETE is empty anyway, and would pass for success. Nor is half
//! an answer one.

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{
            AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextRef,
        },
    },
    error::BoxError,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;

/// Fails on HTML where S3 sends nothing.
#[derive(Debug)]
pub(super) struct NoHtml;

impl Intercept for NoHtml {
    fn name(&self) -> &'static str {
        "NoHtml"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        let header = |name| answer.headers().get(name);
        // some stores call an empty answer HTML
        let html = header("content-type").is_some_and(|t| t.starts_with("text/html"))
            && answer.status().as_u16() == 200
            && header("content-length") != Some("0");
        let deletes = ["DeleteObject", "AbortMultipartUpload"];
        if html && bag.load::<Metadata>().is_some_and(|m| deletes.contains(&m.name())) {
            return Err("not an S3 answer: it is HTML".into());
        }
        Ok(())
    }
}

/// Fails on an answer to DeleteObjects that lacks its end: the SDK takes what there is of it, and a key that is cut off
/// may be that of another object.
#[derive(Debug)]
pub(super) struct Whole;

impl Intercept for Whole {
    fn name(&self) -> &'static str {
        "Whole"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default();
        match context.output_or_error().is_err() || body.trim_ascii_end().ends_with(b"</DeleteResult>") {
            true => Ok(()),
            false => Err("not an S3 answer: it lacks its end".into()),
        }
    }
}
