//! What operators set, kept in the store: how many instances a service has, and how often it was restarted by hand.

use crate::config::{ServicePlan, SystemPlan};
use crate::handle::{Command, Refused};
use ondol_core::clock::SharedClock;
use ondol_core::engine::{Record, Row, RowOp, SharedEngine, StoreError, Table, Write};
use ondol_core::id::ServiceName;
use std::collections::BTreeMap;
use tokio::runtime::Handle;

pub(crate) struct Settings {
    engine: SharedEngine,
    clock: SharedClock,
    runtime: Handle,
    scales: BTreeMap<ServiceName, u32>,
    /// Rises with every `ondol restart`, so that the release's name changes.
    turns: BTreeMap<ServiceName, u64>,
}

impl Settings {
    pub(crate) fn new(engine: SharedEngine, clock: SharedClock, runtime: Handle) -> Self {
        Self {
            engine,
            clock,
            runtime,
            scales: BTreeMap::new(),
            turns: BTreeMap::new(),
        }
    }

    /// Reads what is stored for the plan's services. What cannot be read stays as it was and is logged.
    pub(crate) fn load(&mut self, plan: &SystemPlan) {
        for service in &plan.services {
            match self.read(&format!("scale/{}", service.service)) {
                Ok(Some(count)) => drop(
                    self.scales
                        .insert(service.service.clone(), u32::try_from(count).unwrap_or(1)),
                ),
                Ok(None) => {}
                Err(error) => tracing::error!(service = %service.service, %error, "its scale cannot be read"),
            }
            match self.read(&format!("turn/{}", service.service)) {
                Ok(Some(turn)) => drop(self.turns.insert(service.service.clone(), turn)),
                Ok(None) => {}
                Err(error) => tracing::error!(service = %service.service, %error, "its restarts cannot be read"),
            }
        }
    }

    /// Instances wanted, within the manifest's bounds of today.
    pub(crate) fn scale(&self, plan: &ServicePlan) -> u32 {
        let (min, max) = (plan.scale_min, plan.scale_max.max(plan.scale_min));
        self.scales.get(&plan.service).copied().unwrap_or(min).clamp(min, max)
    }

    pub(crate) fn turn(&self, service: &ServiceName) -> u64 {
        self.turns.get(service).copied().unwrap_or(0)
    }

    /// Does what an operator asks, and answers.
    pub(crate) fn carry_out(&mut self, plan: &SystemPlan, command: Command) {
        // Whoever asked may have gone; what was asked is done all the same.
        match command {
            Command::Restart(service, back) => {
                let _ = back.send(known(plan, &service).and_then(|_| self.next_turn(&service)));
            }
            Command::Scale(service, asked, back) => {
                let _ = back.send(self.change_scale(plan, &service, asked));
            }
        }
    }

    fn change_scale(&mut self, plan: &SystemPlan, service: &ServiceName, asked: u32) -> Result<(), Refused> {
        let (min, max) = known(plan, service).map(|plan| (plan.scale_min, plan.scale_max))?;
        if !(min..=max).contains(&asked) {
            return Err(Refused::Scale {
                service: service.clone(),
                min,
                max,
                asked,
            });
        }
        self.set_scale(service, asked)
    }

    fn set_scale(&mut self, service: &ServiceName, count: u32) -> Result<(), Refused> {
        self.write(service, "scale", u64::from(count))?;
        self.scales.insert(service.clone(), count);
        Ok(())
    }

    fn next_turn(&mut self, service: &ServiceName) -> Result<(), Refused> {
        let next = self.turn(service) + 1;
        self.write(service, "turn", next)?;
        self.turns.insert(service.clone(), next);
        Ok(())
    }

    fn read(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let row = self.runtime.block_on(self.engine.row(Table::Setting, key.to_owned()))?;
        Ok(row.and_then(|row| serde_json::from_slice(&row.body).ok()))
    }

    fn write(&self, service: &ServiceName, what: &str, value: u64) -> Result<(), Refused> {
        let (at, body) = (self.clock.wall(), bytes::Bytes::from(value.to_string()));
        let row = Row {
            key: format!("{what}/{service}"),
            state: "set".into(),
            name: service.to_string(),
            detail: what.into(),
            wake_at: None,
            updated_at: at,
            body: body.clone(),
        };
        let record = Record {
            subject: format!("service/{service}"),
            kind: what.into(),
            at,
            body,
        };
        let write = Write {
            rows: vec![RowOp::Put(Table::Setting, row)],
            records: vec![record],
            ..Write::default()
        };
        let done = self.runtime.block_on(self.engine.commit(write));
        done.map(drop).map_err(|error| Refused::Store(error.to_string()))
    }
}

fn known<'a>(plan: &'a SystemPlan, name: &ServiceName) -> Result<&'a ServicePlan, Refused> {
    let plan = plan.services.iter().find(|plan| &plan.service == name);
    let plan = plan.ok_or_else(|| Refused::Unknown(name.clone()))?;
    match &plan.skipped {
        Some(why) => Err(Refused::Skipped {
            service: name.clone(),
            why: why.clone(),
        }),
        None => Ok(plan),
    }
}
