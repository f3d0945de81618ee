//! Service tokens: what a service proves itself with at its `ONDOL_URL`. Pure.

use crate::inputs::hex;
use aws_lc_rs::hmac;
use ondol_core::id::ServiceName;

/// The key that service tokens are made with: 32 bytes in `.ondol/secret`.
#[derive(Clone)]
pub struct TokenKey(hmac::Key);

impl TokenKey {
    /// From the secret's bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// `ONDOL_TOKEN` of a service: the same after every restart.
    pub fn token(&self, service: &ServiceName) -> String {
        format!(
            "ondol_{service}_{}",
            hex(hmac::sign(&self.0, service.as_str().as_bytes()).as_ref())
        )
    }

    /// Whose token this is. Constant time in the token's secret part.
    pub fn verify(&self, token: &str) -> Option<ServiceName> {
        let (service, tag) = token.strip_prefix("ondol_")?.split_once('_')?;
        let service = ServiceName::new(service).ok()?;
        let tag = unhex(tag)?;
        hmac::verify(&self.0, service.as_str().as_bytes(), &tag)
            .ok()
            .map(|()| service)
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_their_service_and_no_other() {
        let (key, other) = (TokenKey::new(&[1; 32]), TokenKey::new(&[2; 32]));
        let orders: ServiceName = "bank-north".parse().expect("valid");
        let token = key.token(&orders);
        assert_eq!(key.verify(&token), Some(orders.clone()));
        assert_eq!(other.verify(&token), None);
        assert_eq!(key.verify(&token.replace("north", "south")), None);
        for bad in ["", "ondol_", "ondol_x_", "ondol_x_zz", "ondol_x_abc"] {
            assert_eq!(key.verify(bad), None, "{bad}");
        }
    }
}
