//! What is planted, and the search for it: plain, in hex in either case, in base64 at each alignment.
//!
//! Invariant: the search has its own test, so that finding nothing means something.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Made-up secrets, each with the file that holds it.
pub(super) fn planted() -> Vec<(&'static str, String, String)> {
    let token = ["gh", "p_Qm3Zt8LwRk1XvB6nHs0YpJc5DfGe2u3ebODB"].concat();
    [
        (
            "root/.pgpass",
            "db:5432:shop:shopper:{}\n",
            "kV9-made-up-1x".to_owned(),
        ),
        ("app/.env", "GITHUB_TOKEN={}\n", token),
        (
            "root/.netrc",
            "machine a.example login shop password {}\n",
            "Tz4-made-up-netrc-7".to_owned(),
        ),
        (
            "root/.git-credentials",
            "https://shop:{}@git.example\n",
            "Wq8madeupgit5Zr".to_owned(),
        ),
        (
            "etc/shadow",
            "shop:{}:19000:0:99999:7:::\n",
            "$6$kT9mPz2w$".to_owned() + &"Ab3dEf6hIj9lMn2p".repeat(5) + "Qr5tUv",
        ),
        (
            "srv/app/settings.yml",
            "url: postgres://shop:{}@db.example/shop\n",
            "Hn5made0up1url8Kd".to_owned(),
        ),
        (
            "srv/app/app.properties",
            "mail.password={}\n",
            "Xp2-made-up-mail-6v".to_owned(),
        ),
        (
            "srv/deploy/secret.yaml",
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  password: {64}\n",
            "Lc3-made-up-kube-9s".to_owned(),
        ),
        (
            "root/.docker/config.json",
            "{\"auths\": {\"registry.example\": {\"auth\": \"{login}\"}}}\n",
            "Ye7-made-up-login-4q".to_owned(),
        ),
        (
            "etc/wireguard/wg0.conf",
            "[Interface]\nPrivateKey = {}\n",
            "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=".to_owned(),
        ),
    ]
    .into_iter()
    .map(|(path, text, secret)| {
        let login = STANDARD.encode(format!("shop:{secret}"));
        let text = text
            .replace("{64}", &STANDARD.encode(&secret))
            .replace("{login}", &login)
            .replace("{}", &secret);
        (path, text, secret)
    })
    .collect()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('?');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)])
        .collect()
}

/// The ways in which a secret could stand somewhere: as it is, in hex, in base64 at each alignment.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let hex = hex(bytes);
    let mut forms = vec![secret.to_owned(), hex.to_uppercase(), hex];
    for shift in 0..3 {
        let shifted = [&b"xx"[..shift.min(2)], bytes].concat();
        for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            // What depends on the bytes around it is left out at both ends.
            let inner = encoded.get(4..encoded.len() - 4).unwrap_or_default();
            forms.push(inner.to_owned());
        }
    }
    forms
}

/// Which forms stand in it.
pub(super) fn traces(text: &[u8], secret: &str) -> Vec<String> {
    let stands =
        |form: &String| !form.is_empty() && text.windows(form.len()).any(|window| window == form.as_bytes());
    forms(secret).into_iter().filter(stands).collect()
}

pub(super) fn clean(what: &str, text: &[u8], secrets: &[String]) {
    assert!(!text.is_empty(), "{what} has something in it");
    for secret in secrets {
        assert_eq!(traces(text, secret), Vec::<String>::new(), "{what}");
    }
}

#[test]
fn the_search_finds_what_stands_there_in_each_form() {
    let secret = "kV9-made-up-1x";
    let hex = hex(secret.as_bytes());
    for text in [
        format!("password={secret}\n"),
        hex.clone(),
        hex.to_uppercase(),
        STANDARD_NO_PAD.encode(format!("password={secret}\n")),
        STANDARD_NO_PAD.encode(format!("assword={secret}\n")),
        STANDARD_NO_PAD.encode(format!("ssword={secret}\n")),
    ] {
        assert!(!traces(text.as_bytes(), secret).is_empty(), "{text}");
    }
    assert!(traces(b"password=****", secret).is_empty());
}
