// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Providers of models that people use, their hosts, and what is spoken there.
//!
//! `openai` where a client that is given the provider's documented address sends the paths that the codec of the OpenAI
//! API reads (`/v1/chat/completions` and so on); what it does not read there is judged as `http`. Anthropic has a codec of
//! its own. All others are `http`, as far as this version understands them. The bundle `observe` has the same endpoints; a test compares.

use super::super::load::hosts::HostPattern;
use super::super::load::hosts::candidates;
use super::super::load::inventory::Protocol;

/// A provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Name of its endpoint.
    pub name: &'static str,
    /// Its hosts.
    pub hosts: &'static [&'static str],
    /// What is spoken there.
    pub protocol: Protocol,
}

const fn of(name: &'static str, protocol: Protocol, hosts: &'static [&'static str]) -> Provider {
    Provider { name, hosts, protocol }
}

/// Every provider, in the order of their names.
pub const PROVIDERS: &[Provider] = &[
    of("anthropic", Protocol::Anthropic, &["api.anthropic.com"]),
    of(
        "azure-openai",
        Protocol::Http,
        &["*.openai.azure.com", "*.cognitiveservices.azure.com", "*.services.ai.azure.com"],
    ),
    of(
        "bedrock",
        Protocol::Http,
        &[
            "bedrock-runtime.ap-northeast-1.amazonaws.com",
            "bedrock-runtime.ap-south-1.amazonaws.com",
            "bedrock-runtime.ap-southeast-2.amazonaws.com",
            "bedrock-runtime.ca-central-1.amazonaws.com",
            "bedrock-runtime.eu-central-1.amazonaws.com",
            "bedrock-runtime.eu-north-1.amazonaws.com",
            "bedrock-runtime.eu-west-1.amazonaws.com",
            "bedrock-runtime.eu-west-2.amazonaws.com",
            "bedrock-runtime.eu-west-3.amazonaws.com",
            "bedrock-runtime.us-east-1.amazonaws.com",
            "bedrock-runtime.us-east-2.amazonaws.com",
            "bedrock-runtime.us-west-2.amazonaws.com",
        ],
    ),
    of("cohere", Protocol::Http, &["api.cohere.com", "api.cohere.ai"]),
    of("deepseek", Protocol::OpenAi, &["api.deepseek.com"]),
    of("fireworks", Protocol::Http, &["api.fireworks.ai"]),
    of("gemini", Protocol::Http, &["generativelanguage.googleapis.com"]),
    of("groq", Protocol::Http, &["api.groq.com"]),
    of("mistral", Protocol::OpenAi, &["api.mistral.ai"]),
    of("openai", Protocol::OpenAi, &["api.openai.com"]),
    of("openrouter", Protocol::Http, &["openrouter.ai"]),
    of("perplexity", Protocol::Http, &["api.perplexity.ai"]),
    of("together", Protocol::OpenAi, &["api.together.xyz", "api.together.ai"]),
    of(
        "vertex",
        Protocol::Http,
        &[
            "aiplatform.googleapis.com",
            "asia-northeast1-aiplatform.googleapis.com",
            "asia-southeast1-aiplatform.googleapis.com",
            "europe-west1-aiplatform.googleapis.com",
            "europe-west4-aiplatform.googleapis.com",
            "us-central1-aiplatform.googleapis.com",
            "us-east1-aiplatform.googleapis.com",
            "us-east4-aiplatform.googleapis.com",
            "us-east5-aiplatform.googleapis.com",
            "us-west1-aiplatform.googleapis.com",
        ],
    ),
    of("xai", Protocol::OpenAi, &["api.x.ai"]),
];

/// The provider that a host belongs to.
#[must_use]
pub fn provider_of(host: &str) -> Option<&'static Provider> {
    let named: Vec<HostPattern> = candidates(host).collect();
    let is_of = |pattern: &str| HostPattern::parse(pattern).is_ok_and(|of| named.contains(&of));
    PROVIDERS.iter().find(|provider| provider.hosts.iter().any(|pattern| is_of(pattern)))
}

#[cfg(test)]
mod tests {
    use super::provider_of;

    #[test]
    fn a_host_of_a_provider_is_known_and_its_neighbors_are_not() {
        let check = |host: &str, expect: Option<&str>| {
            assert_eq!(provider_of(host).map(|provider| provider.name), expect, "{host}");
        };
        check("api.openai.com", Some("openai"));
        check("mine.openai.azure.com", Some("azure-openai"));
        check("a.mine.openai.azure.com", None);
        check("openai.azure.com", None);
        check("api.openai.com.example.com", None);
        check("bedrock-runtime.us-east-1.amazonaws.com", Some("bedrock"));
        check("s3.us-east-1.amazonaws.com", None);
    }
}
