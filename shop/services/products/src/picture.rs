//! Pictures of the products: drawn, one for each kind of thing, on a colour of the product's own.
//!
//! The catalogue has no photographs until there is a service for uploads; a drawing is honest, small and always there.
//! The text is made of constants and numbers only, so that nothing stored can become part of an SVG.
//!
//! Tests: below.

/// What kind of thing a product is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// For the table and the kitchen.
    Table,
    /// To live with.
    Room,
    /// For letters.
    Desk,
    /// For water and skin.
    Bath,
    /// For outside.
    Garden,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Table, Self::Room, Self::Desk, Self::Bath, Self::Garden];

    /// As stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Room => "room",
            Self::Desk => "desk",
            Self::Bath => "bath",
            Self::Garden => "garden",
        }
    }

    /// As read from the database; `None` for what this version does not know.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Its outline in a square of 100.
    const fn outline(self) -> &'static str {
        match self {
            // A teapot.
            Self::Table => {
                "M28 46h40a20 20 0 0 1-8 34H36a20 20 0 0 1-8-34zM68 52c14-2 14 20-2 18M28 54c-8 0-8-10-16-10M42 42c0-8 12-8 12 0"
            }
            // A lamp.
            Self::Room => "M36 22h28l12 30H24zM50 52v30M34 84h32",
            // A notebook with a pen.
            Self::Desk => {
                "M26 22h38a4 4 0 0 1 4 4v52H30a4 4 0 0 1-4-4zM34 36h24M34 46h24M34 56h14M78 26v44l-4 8-4-8V26z"
            }
            // A basin with drops.
            Self::Bath => {
                "M18 52h64c0 20-14 28-32 28S18 72 18 52zM38 22c8 12 8 16 0 18-8-2-8-6 0-18zM60 28c6 9 6 12 0 14-6-2-6-5 0-14z"
            }
            // A pot with a sprout.
            Self::Garden => {
                "M30 56h40l-6 26H36zM50 56V34M50 42c-16 0-18-10-18-16 12 0 18 6 18 16zM50 36c14 0 17-8 17-14-11 0-17 5-17 14z"
            }
        }
    }
}

/// The drawing of the product with this id.
pub fn svg(kind: Kind, id: &str) -> String {
    let hue = hue(id);
    let outline = kind.outline();
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><rect width="100" height="100" fill="hsl({hue} 32% 88%)"/><path d="{outline}" fill="hsl({hue} 38% 72%)" stroke="hsl({hue} 42% 28%)" stroke-width="2.5" stroke-linejoin="round" stroke-linecap="round"/></svg>"##
    )
}

/// A colour for an id, in degrees; neighbours lie far apart (the golden angle is 137.5 degrees).
fn hue(id: &str) -> u32 {
    let sum = id
        .bytes()
        .fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    (sum % 1000) * 1375 / 10 % 360
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_id_becomes_part_of_the_drawing() {
        assert!(!svg(Kind::Table, "\"/><script>").contains("script"));
    }

    #[test]
    fn neighbours_have_clearly_different_colours() {
        for index in 1..50 {
            let apart = hue(&format!("p{index:02}")).abs_diff(hue(&format!("p{:02}", index + 1)));
            assert!(
                apart.min(360 - apart) > 30,
                "p{index:02}: {apart} degrees from the next"
            );
        }
    }

    #[test]
    fn every_kind_is_read_as_it_is_stored() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::parse("weapon"), None);
    }
}
