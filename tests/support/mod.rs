//! What tests share: fakes, and the contracts they are held to.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod ledger_contract;
