//! How much a request matters, told from hop to hop: `Ondol-Priority`. From outside the system it is not believed.

use crate::message::Fields;
use ondol_core::wire::proxy as wire;
use ondol_resilience::bulkhead::Priority;

const FIELD: &str = "ondol-priority";

/// Each class as manifests and fields write it, and as the line before a service knows it.
const CLASSES: [(wire::Priority, Priority); 4] = [
    (wire::Priority::Critical, Priority::Critical),
    (wire::Priority::Default, Priority::Default),
    (wire::Priority::Batch, Priority::Batch),
    (wire::Priority::BestEffort, Priority::BestEffort),
];

/// As a policy has it.
pub fn of(policy: &wire::Policy) -> Priority {
    let known = CLASSES.into_iter().find(|(written, _)| *written == policy.priority);
    known.map(|(_, class)| class).unwrap_or_default()
}

/// What a caller inside the system says; what is no class says nothing.
pub fn read(fields: &Fields) -> Option<Priority> {
    let said = fields.get_str(FIELD)?;
    let known = CLASSES.into_iter().find(|(written, _)| written.as_str() == said);
    known.map(|(_, class)| class)
}

/// Tells the next hop. Of `default` nothing is said, so that the policy of the next target holds there.
pub fn write(priority: Priority, fields: &mut Fields) {
    match CLASSES.into_iter().find(|(_, class)| *class == priority) {
        Some((written, class)) if class != Priority::Default => fields.set(FIELD, written.as_str()),
        _ => {
            fields.remove(FIELD);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_default_says_nothing() {
        for class in Priority::ALL {
            let mut fields: Fields = [("Ondol-Priority", "urgent")].into_iter().collect();
            assert_eq!(read(&fields), None);
            write(class, &mut fields);
            assert_eq!(read(&fields).unwrap_or_default(), class);
            assert_eq!(fields.contains(FIELD), class != Priority::Default);
        }
    }
}
