//! `explain`: decides one request as `serve` would, and shows each step.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde_json::Value;

use super::{ConfigFile, Outcome, Stop};
use crate::gateway::{self, Explanation, Gateway};
use crate::server::Control;
use crate::telemetry::Metrics;

/// How long remote key sets may take to arrive.
const KEYS: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// The method
    #[arg(short = 'X', long, value_name = "M", default_value = "GET")]
    method: String,
    /// The URL, as a client would ask for it
    url: String,
    /// A header field, as NAME: VALUE
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let loaded = super::load(&arguments.file.config)?;
    let (request, tls) = request(arguments)?;
    let control = Control::start().map_err(|error| Stop::Failed(error.to_string()))?;
    let metrics = Arc::new(Metrics::new());
    let gateway = Gateway::rooms(&loaded.config, &metrics, control.handle())
        .map_err(|found| super::faults(&loaded, &found))?;
    gateway.start(control.handle());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::Failed(error.to_string()))?;
    let explanation = runtime.block_on(async {
        gateway.keys_settled(KEYS).await;
        gateway::explain(&gateway, request, tls).await
    });
    if arguments.json {
        let value =
            serde_json::to_value(&explanation).map_err(|error| Stop::Failed(error.to_string()))?;
        return super::print(&super::pretty(&value));
    }
    super::print(&readable(&explanation))
}

/// The request that the arguments describe, in the form that a server receives it.
fn request(arguments: &Arguments) -> Result<(Request<()>, bool), Stop> {
    let wrong = |what: String| Stop::Wrong(what);
    let uri: Uri = arguments.url.parse().map_err(|error| {
        wrong(format!(
            "{}: not a URL: {error}; write it as http://host/path",
            arguments.url
        ))
    })?;
    let authority = uri
        .authority()
        .ok_or_else(|| {
            wrong(format!(
                "{}: no host; write it as http://host/path",
                arguments.url
            ))
        })?
        .clone();
    let tls = uri.scheme_str() == Some("https");
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let method = Method::from_bytes(arguments.method.as_bytes())
        .map_err(|_| wrong(format!("--method {}: not a method", arguments.method)))?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = target
        .parse()
        .map_err(|error| wrong(format!("{target}: {error}")))?;
    for field in &arguments.headers {
        let parsed = field.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let (name, value) =
            parsed.ok_or_else(|| wrong(format!("-H {field:?}: write it as \"NAME: VALUE\"")))?;
        request.headers_mut().append(name, value);
    }
    if !request.headers().contains_key(HOST) {
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| wrong(format!("{authority}: not a host")))?;
        request.headers_mut().insert(HOST, host);
    }
    Ok((request, tls))
}

fn readable(explanation: &Explanation) -> String {
    let mut text = String::new();
    for step in &explanation.steps {
        let _ = writeln!(text, "{:<15} {}", step.step, plain(&step.found));
    }
    let status = explanation
        .status
        .map(|status| format!(" ({status})"))
        .unwrap_or_default();
    let _ = writeln!(
        text,
        "{:<15} {}: {}{status}",
        "decision", explanation.decision, explanation.reason
    );
    if let Some(detail) = explanation
        .detail
        .as_deref()
        .filter(|detail| !detail.is_empty())
    {
        let _ = writeln!(text, "{:<15} {detail}", "because");
    }
    if let Some(upstream) = &explanation.upstream {
        let _ = writeln!(text, "{:<15} {} would get", "upstream", upstream.name);
        let _ = writeln!(text, "    {} {}", upstream.method, upstream.target);
        for (name, value) in &upstream.headers {
            let _ = writeln!(text, "    {name}: {value}");
        }
    }
    text
}

/// A step's finding on one line: members with a value, as `name=value`.
fn plain(found: &Value) -> String {
    match found {
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| format!("{name}={}", plain(value)))
                .collect();
            members.join(" ")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
