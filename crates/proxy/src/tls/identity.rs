//! Who a client is by its certificate, once the authorities have vouched for it.

use ondol_core::clock::Timestamp;
use ondol_core::x509::validity;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The field that tells services. It is the gateway's: taken away from whatever comes in, as all `Ondol-*` fields are.
pub const FIELD: &str = "ondol-client-identity";

/// The longest name that is handed on, bytes: the longest SPIFFE ID.
const LONGEST: usize = 2_048;

/// The first URI among a certificate's alternative names, such as a SPIFFE ID; else the first DNS name. `None` where there
/// is neither, or where it has a character that no URI has.
pub fn name(certificate: &CertificateDer<'_>) -> Option<String> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    let name = parsed
        .valid_uri_names()
        .next()
        .or_else(|| parsed.valid_dns_names().next())?;
    let fits = name.len() <= LONGEST && name.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| name.to_owned())
}

/// Whether a certificate has ended. One that was good when a session began may have ended when it is resumed.
pub fn has_ended(certificate: &CertificateDer<'_>, now: Timestamp) -> bool {
    validity(certificate).is_none_or(|(_, not_after)| not_after < now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn certificate(names: Vec<SanType>) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("signed").into()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().expect("IA5"))
    }

    #[test]
    fn a_uri_goes_before_a_dns_name_and_what_is_no_name_is_none() {
        let dns = |name: &str| SanType::DnsName(name.try_into().expect("IA5"));
        let spiffe = "spiffe://shop.example/ns/till";
        for (names, expected) in [
            (vec![dns("till.shop.example"), uri(spiffe)], Some(spiffe)),
            (
                vec![dns("till.shop.example"), dns("b.example")],
                Some("till.shop.example"),
            ),
            (vec![uri("spiffe://a/b\r\nondol-subject: root")], None),
            (vec![uri(&"x".repeat(LONGEST + 1))], None),
            (vec![], None),
        ] {
            assert_eq!(name(&certificate(names.clone())).as_deref(), expected, "{names:?}");
        }
    }

    #[test]
    fn a_certificate_ends_when_it_says() {
        let certificate = certificate(vec![]);
        let at = |text: &str| text.parse().expect("a time");
        assert!(!has_ended(&certificate, at("2029-12-31T23:59:59.000Z")));
        assert!(has_ended(&certificate, at("2030-01-01T00:00:00.001Z")));
    }
}
