//! APIs of engines on TCP ports: everybody who has the host's network may ask them.
//!
//! Invariant: what asks clients for a certificate is none of them (`exposure/apis`). A firewall is not looked at.

use super::{Open, bypass};
use crate::exposure::apis::Api;
use crate::model::{Bypass, Cause, Means, Reader};

/// The ways that they are.
pub(in crate::exposure) fn apis(apis: &[Api]) -> Vec<Open> {
    let ways = apis.iter().map(|api| {
        let via = format!("{} at tcp://{}", api.program, api.address);
        let remedy = match api.program {
            "dockerd" => "or add --tlsverify with certificates",
            _ => "or have it ask clients for certificates",
        };
        Open {
            bypass: bypass(Reader::World, Means::ApiPort, via.as_ref(), api.uid == 0),
            gate: None,
            remedy: Some(format!(
                "take tcp://{} from what {} serves, {remedy}",
                api.address, api.program
            )),
            owner_uid: api.uid,
        }
    });
    ways.collect()
}

/// Why such a way is open.
pub(in crate::exposure) fn cause(bypass: &Bypass) -> Option<Cause> {
    (bypass.by == Means::ApiPort).then(|| Cause {
        cve: None,
        text: format!(
            "{} answers everybody who connects, and reads every layer for them.",
            bypass.via
        ),
    })
}
