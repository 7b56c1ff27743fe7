// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What names a model, or changes where texts go, beside the fields that facts are made from.
//!
//! The protocols are spoken by gateways and servers that read more than the API has: OpenRouter, LiteLLM, Vercel AI
//! Gateway, Portkey, orq, vLLM, SGLang, Azure. A rule on the model would judge one model and another would answer,
//! so such a request has no facts. Errs to refusing: a name counts in whatever spelling (`api_base`, `apiBase`,
//! `api-base`), whatever its value.

use super::json_tree::Node;

/// Whether a body names a model, a provider or a place beside its fields.
pub(super) fn leads_elsewhere(body: &Node<'_>) -> bool {
    let Node::Object(members) = body else { return false };
    members.iter().any(|(name, _)| {
        let plain = plain(name);
        ELSEWHERE.contains(&plain.as_str())
            || ELSEWHERE_BEGINNINGS.iter().any(|beginning| plain.starts_with(beginning))
            || plain.contains("fallback")
    })
}

/// A name without anything but letters and digits, in lower case.
pub(super) fn plain(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

/// Such names.
const ELSEWHERE: [&str; 74] = [
    // Other models, and words for a model.
    "adapter",
    "adapterid",
    "adaptersource",
    "agentid",
    "assistantid",
    "deployment",
    "deploymentid",
    "deploymentname",
    "draftmodel",
    "engine",
    "engineid",
    "lora",
    "lorapath",
    "lorarequest",
    "modelaliasmap",
    "modelgroup",
    "modelid",
    "modelinfo",
    "modellist",
    "modelname",
    "models",
    "preset",
    "specificdeployment",
    "targetmodel",
    // Who serves it, and by which settings.
    "config",
    "customllmprovider",
    "gateway",
    "orq",
    "provider",
    "provideroptions",
    "providers",
    "route",
    "router",
    "routersettings",
    "routing",
    "routingstrategy",
    "strategy",
    "tags",
    "targets",
    "userconfig",
    // Where it is, and with whose key.
    "apibase",
    "apihost",
    "apikey",
    "apitoken",
    "apitype",
    "apiversion",
    "baseurl",
    "endpointurl",
    "host",
    "proxies",
    "proxy",
    "proxyserverrequest",
    "regionname",
    "url",
    // What is sent along, or to whom else.
    "callback",
    "callbacks",
    "callbackurl",
    "connectors",
    "datasources",
    "defaultheaders",
    "extrabody",
    "extraheaders",
    "extraquery",
    "failurecallback",
    "headers",
    "kvtransferparams",
    "logitsprocessors",
    "successcallback",
    "vllmxargs",
    "webhook",
    "webhooks",
    "webhookurl",
    // What changes texts on their way.
    "plugins",
    "transforms",
];
const ELSEWHERE_BEGINNINGS: [&str; 9] = [
    "aws",
    "azure",
    "bestof",
    "langfuse",
    "langsmith",
    "litellm",
    "mocktesting",
    "portkey",
    "vertex",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(body: &str) -> bool {
        leads_elsewhere(&Node::read(body.as_bytes()).expect("JSON"))
    }

    #[test]
    fn what_leads_elsewhere_is_found_in_every_spelling() {
        for name in [
            "models",
            "Models",
            "fallbacks",
            "context_window_fallbacks",
            "default-fallbacks",
            "route",
            "provider",
            "plugins",
            "transforms",
            "extra_body",
            "base_url",
            "baseURL",
            "api_base",
            "apiBase",
            "custom_llm_provider",
            "provider_options",
            "providerOptions",
            "data_sources",
            "kv_transfer_params",
            "litellm_params",
            "aws_bedrock_runtime_endpoint",
            "best_of",
        ] {
            assert!(leads(&format!(r#"{{"model":"m","{name}":null}}"#)), "{name}");
        }
    }
}
