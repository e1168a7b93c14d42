use super::*;
use crate::registry::fake::Login;

const DENIED: &str = "UNAUTHORIZED: authentication required";

#[tokio::test]
async fn logs_in_with_name_and_password() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    fake.state().login = Login::Basic;
    push(&registry_for(ci("secret")), &fake, "drivers/x:1", &image).await.unwrap();
    assert_whole(&fake, "drivers/x", "1");
}

#[tokio::test]
async fn fetches_one_token_for_each_scope() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    fake.state().login = Login::Token;
    let registry = registry_for(ci("secret"));
    push(&registry, &fake, "drivers/one:1", &image).await.unwrap();
    assert_eq!(fake.count("GET /token"), 1);
    fake.state().log.clear();
    let pushed = push(&registry, &fake, "drivers/two:1", &image).await.unwrap();
    assert_eq!(pushed.mounted_bytes + image.manifest.size(), image.total_size, "a mount's token covers both repositories");
    assert_eq!(fake.count("GET /token"), 2);
    assert_eq!(registry.check_push(&fake.reference("drivers/one")).await.unwrap().as_deref(), Some("ci"));
}

#[tokio::test]
async fn trades_an_identity_token() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    fake.state().login = Login::Token;
    push(&registry_for(Credential::IdentityToken("identity".into())), &fake, "drivers/x:1", &image).await.unwrap();
    assert_eq!(fake.count("POST /token"), 1);
}

#[tokio::test]
async fn says_who_is_refused() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    let host = fake.address.to_string();
    for login in [Login::Basic, Login::Token] {
        fake.state().login = login;
        let error = push(&registry(), &fake, "drivers/x:1", &image).await.unwrap_err();
        assert_eq!(
            shown(error, &fake),
            format!("error: the registry `HOST` wants a login to push to `drivers/x`\n  answer    {DENIED}\n  help      log in first: docker login HOST")
        );
    }
    let error = push(&registry_for(ci("wrong")), &fake, "drivers/x:1", &image).await.unwrap_err();
    assert_eq!(
        shown(error, &fake),
        "error: the registry `HOST` refuses the credentials of `ci`\n  answer    UNAUTHORIZED: incorrect username or password\n  help      log in first: docker login HOST"
    );
    assert!(fake.state().manifests.is_empty() && host.starts_with("127."));
}

#[tokio::test]
async fn anybody_may_read_where_the_registry_says_so() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    push(&registry(), &fake, "drivers/x:1", &image).await.unwrap();
    fake.state().login = Login::Token;
    assert!(registry().published(&fake.reference("drivers/x:1")).await.unwrap().is_some());
}

#[tokio::test]
async fn passes_on_what_the_credential_store_says() {
    struct Broken;
    impl CredentialSource for Broken {
        fn credential<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Option<Credential>, Failure>> {
            Box::pin(async move { Err(Failure::new(crate::error::Exit::Failed, format!("helper failed for `{host}`"))) })
        }
    }
    let fake = Fake::start().await;
    fake.state().login = Login::Basic;
    let registry = Registry::new(options(), Arc::new(Broken)).unwrap();
    let error = registry.published(&fake.reference("drivers/x:1")).await.unwrap_err();
    assert_eq!(shown(error, &fake), "error: helper failed for `HOST`");
}
