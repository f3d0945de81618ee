//! Numbers and addresses as text, without the machinery of formatting: each request writes a dozen.

use std::io::Write;
use std::net::IpAddr;

/// Appends a number.
pub fn push_decimal(mut n: u64, out: &mut Vec<u8>) {
    let (mut digits, mut at) = ([0; 20], 20);
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

/// Appends an address as it prints.
pub fn push_address(address: IpAddr, out: &mut Vec<u8>) {
    let IpAddr::V4(address) = address else {
        let _ = write!(out, "{address}"); // Writing to a vector cannot fail.
        return;
    };
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        push_decimal(u64::from(octet), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_as_they_print() {
        for n in [0, 9, 10, 255, 1_000, u64::MAX] {
            let mut out = Vec::new();
            push_decimal(n, &mut out);
            assert_eq!(out, n.to_string().as_bytes());
        }
        for text in [
            "0.0.0.0",
            "127.0.0.1",
            "255.10.9.100",
            "::1",
            "2001:db8::5",
            "::ffff:1.2.3.4",
        ] {
            let mut out = Vec::new();
            push_address(text.parse().expect("an address"), &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }
}
