//! A page in HTML is no answer of S3's, whatever its status: a proxy or a login page stands in between. To a
//! DELETE it would pass for success, for S3's own answer is empty.

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextRef,
    },
    error::BoxError,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;

/// Fails on HTML where S3 sends XML or nothing.
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
        let html = answer.headers().get("content-type").is_some_and(|t| t.starts_with("text/html"));
        // the content type of these is the object's
        let objects = ["HeadObject", "GetObject"];
        let of_object = bag.load::<Metadata>().is_some_and(|m| objects.contains(&m.name()));
        if html && answer.status().is_success() && !of_object {
            return Err("not an S3 answer: it is HTML".into());
        }
        Ok(())
    }
}
