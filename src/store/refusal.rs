//! How a store says that it is asked too much, wherever it says so: 503 and 429, and the codes of S3.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>

use super::{delete::Refused, error::classify};
use crate::model::{Class, Fault};
use aws_sdk_s3::{
    config::{
        http::HttpResponse,
        retry::{ClassifyRetry, RetryAction},
    },
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;

/// Why a request failed.
pub(super) trait Failure {
    /// It was one too many.
    fn asks_for_less(&self) -> bool;
}

impl Failure for Fault {
    fn asks_for_less(&self) -> bool {
        self.class == Class::Throttled
    }
}

impl Failure for Refused {
    fn asks_for_less(&self) -> bool {
        self.fault.asks_for_less()
    }
}

impl<E: ProvideErrorMetadata> Failure for SdkError<E, HttpResponse> {
    fn asks_for_less(&self) -> bool {
        let status = self.raw_response().map_or(0, |raw| raw.status().as_u16());
        classify("", status, self.code(), "").0 == Class::Throttled
    }
}

/// Leaves to [`S3::send`] what the SDK would try again by itself.
#[derive(Debug)]
pub(super) struct NotAgain;

impl ClassifyRetry for NotAgain {
    fn name(&self) -> &'static str {
        "NotAgain"
    }

    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failed = context.output_or_error().is_some_and(|said| said.is_err());
        let less = context.response().filter(|_| failed).is_some_and(|answer| {
            let code = answer.body().bytes().and_then(code);
            classify("", answer.status().as_u16(), code, "").0 == Class::Throttled
        });
        if less { RetryAction::RetryForbidden } else { RetryAction::NoActionIndicated }
    }
}

/// The code of an error as S3 spells it.
pub(super) fn code(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    Some(text.split_once("<Code>")?.1.split_once("</Code>")?.0)
}
