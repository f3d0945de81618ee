//! Where Ondol keeps what it knows: in a file, or in a PostgreSQL of the tests' own. What is said of one is said of both.

#[path = "../../../store/tests/support/postgres.rs"]
#[allow(dead_code, reason = "the store's tests use the rest")]
mod server;

/// The line of `ondol.yaml` for a new database; `None`, with a line that says why, where there is no PostgreSQL.
pub fn postgres() -> Option<String> {
    Some(format!("store: \"{}\"", server::shared()?.new_database()))
}

/// Makes a test for each store of each function, which takes the line of `ondol.yaml` that names the store.
macro_rules! on_both_stores {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[test]
            fn $test() {
                super::$test("");
            })*
        }
        mod on_postgres {
            $(#[test]
            fn $test() {
                if let Some(store) = crate::stores::postgres() {
                    super::$test(&store);
                }
            })*
        }
    };
}
pub(crate) use on_both_stores;
