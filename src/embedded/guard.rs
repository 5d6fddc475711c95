//! What few objects have: a lock, an ACL. Both are kept and told; neither is acted on.

use s3s::dto::{
    GetObjectAclOutput, Grant, Grantee, ObjectCannedACL, ObjectLockLegalHoldStatus, ObjectLockMode,
    ObjectLockRetainUntilDate, Owner, Permission, Type,
};
use s3s::{S3Result, s3_error};

/// Who owns all there is.
const OWNER: &str = "embedded";

/// The groups of S3 that an ACL may name.
const EVERYBODY: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const EVERY_ACCOUNT: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";

/// As requests ask for it.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Guard {
    pub(super) acl: Option<ObjectCannedACL>,
    pub(super) legal_hold: Option<ObjectLockLegalHoldStatus>,
    pub(super) mode: Option<ObjectLockMode>,
    pub(super) until: Option<ObjectLockRetainUntilDate>,
}

pub(super) static UNGUARDED: Guard = Guard { acl: None, legal_hold: None, mode: None, until: None };

impl Guard {
    /// # Errors
    /// 400 for half a retention.
    pub(super) fn check(&self) -> S3Result<()> {
        if self.mode.is_some() == self.until.is_some() {
            return Ok(());
        }
        Err(s3_error!(
            InvalidArgument,
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
        ))
    }

    /// Was a lock asked for?
    pub(super) fn locks(&self) -> bool {
        self.mode.is_some() || self.legal_hold.is_some()
    }

    /// The answer to GetObjectAcl: the owner, and whom else the canned ACL names.
    pub(super) fn grants(&self) -> GetObjectAclOutput {
        let to = |grantee, permission| Grant {
            grantee: Some(grantee),
            permission: Some(Permission::from_static(permission)),
        };
        let group = |uri: &str| Grantee {
            display_name: None,
            email_address: None,
            id: None,
            type_: Type::from_static(Type::GROUP),
            uri: Some(uri.to_owned()),
        };
        let owner = Grantee {
            display_name: None,
            email_address: None,
            id: Some(OWNER.to_owned()),
            type_: Type::from_static(Type::CANONICAL_USER),
            uri: None,
        };
        let mut grants = vec![to(owner, Permission::FULL_CONTROL)];
        let others: &[(&str, &str)] = match self.acl.as_ref().map(ObjectCannedACL::as_str) {
            Some(ObjectCannedACL::PUBLIC_READ) => &[(EVERYBODY, Permission::READ)],
            Some(ObjectCannedACL::PUBLIC_READ_WRITE) => {
                &[(EVERYBODY, Permission::READ), (EVERYBODY, Permission::WRITE)]
            }
            Some(ObjectCannedACL::AUTHENTICATED_READ) => &[(EVERY_ACCOUNT, Permission::READ)],
            _ => &[],
        };
        grants.extend(others.iter().map(|(uri, permission)| to(group(uri), permission)));
        let owner = Owner { display_name: None, id: Some(OWNER.to_owned()) };
        GetObjectAclOutput { grants: Some(grants), owner: Some(owner), ..GetObjectAclOutput::default() }
    }
}
