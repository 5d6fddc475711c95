//! Every source of credentials, each in a process of its own whose environment holds nothing else. What was
//! found is seen where it counts: in the signature that a server on loopback gets.

use crate::support::server::{Answer, Request, Server};
use s3mirrord::{
    model::{Class, Key},
    store::{Options, S3, Secret, Store},
};
use std::{fs, path::Path, process::Output};
use tempfile::TempDir;
use tokio::process::Command;

const CHILD: &str = "S3MIRRORD_TEST_CHILD";
const ME: &str = "credentials::child";

/// In a child process: one HEAD with the options that the variable names. Elsewhere nothing.
#[tokio::test]
async fn child() {
    let Ok(given) = std::env::var(CHILD) else { return };
    let mut options = Options::new("bucket", "");
    options.force_path_style = true;
    options.max_attempts = 1;
    let mut heads = 1;
    for (name, value) in given.lines().filter_map(|line| line.split_once('=')) {
        let value = value.to_owned();
        match name {
            "endpoint" => options.endpoint_url = Some(value),
            "region" => options.region = Some(value),
            "profile" => options.profile = Some(value),
            "file" => options.credentials_file = Some(value.into()),
            "id" => options.access_key_id = Some(value),
            "secret" => options.secret_access_key = Some(Secret::new(value)),
            "isolated" => options.isolated = true,
            "heads" => heads = value.parse().unwrap(),
            _ => panic!("{name}"),
        }
    }
    let store = match S3::connect(options).await {
        Ok(store) => store,
        Err(fault) => return println!("connect {:?}: {fault}", fault.class),
    };
    println!("place {}", store.place());
    for _ in 0..heads {
        match store.head(&Key::raw("a")).await {
            Ok(_) => println!("head fine"),
            Err(fault) => println!("head {:?}: {fault}", fault.class),
        }
    }
}

/// A place where the child runs: a home and an S3 server.
struct Stage {
    home: TempDir,
    s3: Server,
}

impl Stage {
    async fn new() -> Self {
        let s3 = Server::start(|_, _| Answer::new(404, "")).await;
        Self { home: tempfile::tempdir().unwrap(), s3 }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs the child with these variables and options; what it printed.
    async fn run(&self, variables: &[(&str, &str)], options: &str) -> String {
        let options = format!("endpoint={}\n{options}", self.s3.endpoint());
        run(self.home.path(), variables, &options).await
    }

    /// The access key ids and session tokens that were seen, in order.
    fn signed_by(&self) -> Vec<(String, Option<String>)> {
        self.s3.seen().iter().map(signer).collect()
    }
}

async fn run(home: &Path, variables: &[(&str, &str)], options: &str) -> String {
    let Output { stdout, stderr, status } = Command::new(std::env::current_exe().unwrap())
        .args([ME, "--exact", "--nocapture"])
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied())
        .env(CHILD, options)
        .output()
        .await
        .unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let said = String::from_utf8(stdout).unwrap();
    assert!(!said.contains("hunter2"), "a secret was printed: {said}");
    said
}

fn signer(request: &Request) -> (String, Option<String>) {
    let authorization = &request.headers["authorization"];
    let id = authorization.split_once("Credential=").unwrap().1.split('/').next().unwrap();
    (id.to_owned(), request.headers.get("x-amz-security-token").cloned())
}

fn by(id: &str, token: Option<&str>) -> Vec<(String, Option<String>)> {
    vec![(id.to_owned(), token.map(str::to_owned))]
}

const ENVIRONMENT: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_SESSION_TOKEN", "env-token")];

const SHARED: &str = "[default]\naws_access_key_id=SHARED\naws_secret_access_key=hunter2\n\
    [backup]\naws_access_key_id=BACKUP\naws_secret_access_key=hunter2\naws_session_token=backup-token\n";

fn metadata(id: &str, expires: &str) -> String {
    format!(
        r#"{{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"{id}","SecretAccessKey":"hunter2",
        "Token":"{id}-token","Expiration":"{expires}","LastUpdated":"2024-01-01T00:00:00Z"}}"#
    )
}

#[tokio::test]
async fn given_keys_go_before_everything() {
    let stage = Stage::new().await;
    stage.file(".aws/credentials", SHARED);
    stage.run(&ENVIRONMENT, "id=GIVEN\nsecret=hunter2\nprofile=backup").await;
    assert_eq!(stage.signed_by(), by("GIVEN", None));
}

#[tokio::test]
async fn from_the_environment() {
    let stage = Stage::new().await;
    stage.file(".aws/credentials", SHARED);
    stage.run(&ENVIRONMENT, "").await;
    assert_eq!(stage.signed_by(), by("ENV", Some("env-token")));
}

#[tokio::test]
async fn from_the_shared_file() {
    let stage = Stage::new().await;
    stage.file(".aws/credentials", SHARED);
    stage.run(&[], "").await;
    assert_eq!(stage.signed_by(), by("SHARED", None));
    let elsewhere = stage.file("keys", "[default]\naws_access_key_id=MOVED\naws_secret_access_key=hunter2\n");
    stage.run(&[("AWS_SHARED_CREDENTIALS_FILE", &elsewhere)], "").await;
    assert_eq!(stage.signed_by()[1].0, "MOVED");
}

#[tokio::test]
async fn from_a_profile_even_beside_keys_in_the_environment() {
    let stage = Stage::new().await;
    stage.file(".aws/credentials", SHARED);
    stage.run(&ENVIRONMENT, "profile=backup").await;
    assert_eq!(stage.signed_by(), by("BACKUP", Some("backup-token")));
    stage.run(&[("AWS_PROFILE", "backup")], "").await;
    assert_eq!(stage.signed_by()[1].0, "BACKUP");
    let said = stage.run(&[], "profile=nobody").await;
    assert!(said.contains("head Fatal") && said.contains("nobody"), "{said}");
}

#[tokio::test]
async fn from_a_config_file_with_region_and_endpoint() {
    let stage = Stage::new().await;
    let text = format!(
        "[profile backup]\naws_access_key_id=CONFIG\naws_secret_access_key=hunter2\nregion=eu-north-1\n\
         services=here\n[services here]\ns3 =\n  endpoint_url={}\n",
        stage.s3.endpoint()
    );
    stage.file(".aws/config", &text);
    let said = run(stage.home.path(), &[], "profile=backup").await;
    assert!(
        said.contains(&format!("place {} bucket/", stage.s3.endpoint())),
        "the ledger is bound to it: {said}"
    );
    assert_eq!(stage.signed_by(), by("CONFIG", None));
    assert!(stage.s3.seen()[0].headers["authorization"].contains("/eu-north-1/s3/"));
}

#[tokio::test]
async fn from_a_credentials_file() {
    let stage = Stage::new().await;
    stage.file(".aws/credentials", "[default]\naws_access_key_id=WRONG\naws_secret_access_key=hunter2\n");
    let file = stage.file("run/credentials/s3", SHARED);
    stage.run(&ENVIRONMENT, &format!("file={file}")).await;
    stage.run(&ENVIRONMENT, &format!("file={file}\nprofile=backup")).await;
    let ids: Vec<_> = stage.signed_by().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["SHARED", "BACKUP"]);
    let said = stage.run(&ENVIRONMENT, &format!("file={file}-not-there")).await;
    assert!(said.contains("head Fatal") && said.contains("not-there"), "{said}");
    assert_eq!(stage.signed_by().len(), 2, "nothing else is taken instead");
}

#[tokio::test]
async fn from_a_credential_process() {
    let stage = Stage::new().await;
    let program = stage.file(
        "vault.sh",
        r#"echo '{"Version":1,"AccessKeyId":"PROCESS","SecretAccessKey":"hunter2","SessionToken":"p-token"}'"#,
    );
    stage.file(".aws/config", &format!("[default]\ncredential_process = /bin/sh {program}\n"));
    stage.run(&[], "").await;
    assert_eq!(stage.signed_by(), by("PROCESS", Some("p-token")));
}

#[tokio::test]
async fn a_credential_process_that_fails_tells_no_secret() {
    let stage = Stage::new().await;
    let program = stage.file("vault.sh", "echo '{\"SecretAccessKey\":\"hunter2\"'; exit 1");
    stage.file(".aws/config", &format!("[default]\ncredential_process = /bin/sh {program}\n"));
    let said = stage.run(&[], "").await;
    assert!(said.contains("head Fatal") && said.contains("no credentials"), "{said}");
}

#[tokio::test]
async fn from_imds_with_a_token() {
    let stage = Stage::new().await;
    let imds = Server::start(|_, request| {
        let session = request.headers.get("x-aws-ec2-metadata-token").is_some_and(|t| t == "SESSION");
        match (request.method.as_str(), request.target.as_str()) {
            ("PUT", "/latest/api/token") => {
                Answer::new(200, "SESSION").with("x-aws-ec2-metadata-token-ttl-seconds", "21600")
            }
            _ if !session => Answer::new(401, ""),
            (_, "/latest/meta-data/iam/security-credentials/") => Answer::new(200, "role"),
            (_, "/latest/meta-data/iam/security-credentials/role") => {
                Answer::new(200, metadata("IMDS", "2099-01-01T00:00:00Z"))
            }
            _ => Answer::new(404, ""),
        }
    })
    .await;
    let endpoint = imds.endpoint();
    let variables =
        [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.as_str())];
    stage.run(&variables, "").await;
    assert_eq!(stage.signed_by(), by("IMDS", Some("IMDS-token")));
}

/// Where there is none, a question to it takes seconds.
#[tokio::test]
async fn imds_is_not_asked_for_what_is_known() {
    let stage = Stage::new().await;
    let imds = Server::start(|_, _| Answer::new(404, "")).await;
    let endpoint = imds.endpoint();
    let variables = [
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "VARIABLE"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
    ];
    for options in ["", "region=eu-west-1"] {
        stage.run(&variables, options).await;
    }
    assert_eq!(stage.signed_by(), [by("VARIABLE", None), by("VARIABLE", None)].concat());
    assert_eq!(imds.seen().len(), 0, "{:?}", imds.seen());
}

#[tokio::test]
async fn c53_from_ecs_and_again_when_they_expire() {
    let stage = Stage::new().await;
    let ecs = Server::start(|n, request| {
        if request.headers.get("authorization").is_none_or(|a| a != "Bearer task") {
            return Answer::new(401, "");
        }
        // the first ones are about to end, the next ones are not
        let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(if n == 0 { 2 } else { 3600 });
        Answer::new(200, metadata(&format!("ECS{n}"), &expires.to_string()))
            .with("content-type", "application/json")
    })
    .await;
    let uri = format!("{}/creds", ecs.endpoint());
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer task"),
    ];
    stage.run(&variables, "heads=3").await;
    let ids: Vec<_> = stage.signed_by().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["ECS0", "ECS1", "ECS1"]);
}

#[tokio::test]
async fn from_a_web_identity() {
    let stage = Stage::new().await;
    let sts = Server::start(|_, request| {
        let asked = String::from_utf8_lossy(&request.body).into_owned();
        if !asked.contains("AssumeRoleWithWebIdentity") || !asked.contains("WebIdentityToken=jwt") {
            return Answer::new(400, "");
        }
        Answer::new(
            200,
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>\
             <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn>\
             <AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser><Credentials>\
             <AccessKeyId>WEB</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey>\
             <SessionToken>web-token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
             </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        )
    })
    .await;
    let token = stage.file("token", "jwt");
    let endpoint = sts.endpoint();
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r"),
        ("AWS_ENDPOINT_URL_STS", endpoint.as_str()),
        ("AWS_REGION", "eu-west-1"),
    ];
    stage.run(&variables, "").await;
    assert_eq!(stage.signed_by(), by("WEB", Some("web-token")));
}

#[tokio::test]
async fn the_demo_reads_nothing_of_aws() {
    let stage = Stage::new().await;
    stage.file(".aws/credentials", SHARED);
    stage.file(".aws/config", "[default]\nregion=eu-north-1\ns3 =\n  addressing_style = virtual\n");
    let mut variables = ENVIRONMENT.to_vec();
    variables.extend([
        ("AWS_REGION", "ap-south-1"),
        ("AWS_PROFILE", "nobody"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_MAX_ATTEMPTS", "bad"),
    ]);
    stage.run(&variables, "isolated=1\nid=DEMO\nsecret=hunter2").await;
    assert_eq!(stage.signed_by(), by("DEMO", None));
    assert!(stage.s3.seen()[0].headers["authorization"].contains("/us-east-1/s3/"));
    let said = stage.run(&variables, "isolated=1").await;
    assert!(said.contains(&format!("connect {:?}", Class::Fatal)), "{said}");
}

#[tokio::test]
async fn none_at_all_is_fatal_and_says_what_to_set() {
    let stage = Stage::new().await;
    let said = stage.run(&[], "").await;
    assert!(said.contains("head Fatal") && said.contains("access_key_id"), "{said}");
    assert!(stage.s3.seen().is_empty());
    let said = run(stage.home.path(), &[], "").await;
    assert!(said.contains("connect Fatal") && said.contains("region"), "{said}");
}
