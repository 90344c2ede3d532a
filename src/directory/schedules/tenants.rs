//! Tenants: after a tenant's change is acknowledged, no older word about hosts or tenants is given.

use super::super::desk::{TenantAsk, TenantAskRef};
use super::super::flight::Seat;
use super::super::memo::{QuestionRef, Told};
use super::*;

/// In one state the host is nobody's, else that of a tenant named after the state.
fn told(state: u64) -> Told<TenantId> {
    if state == 1 {
        return Told::Missing;
    }
    Told::Found(TenantId::parse(&format!("t{state}")).unwrap())
}

fn fits(answer: &Told<TenantId>, state: u64) -> bool {
    *answer == told(state)
}

async fn tenant_of_host(truth: &Arc<Truth>, query: &Arc<str>) -> Told<TenantId> {
    let start = |ask: TenantAsk, seat: Seat<_, _>| {
        let truth = Arc::clone(truth);
        spawn(async move {
            let find = async || Ok(told(truth.read().await));
            truth.desk.fill_tenant(&ask, seat, find).await;
        });
    };
    let about = "app.example.com";
    let ask = TenantAskRef::Domain(QuestionRef { query, about });
    truth.desk.told(ask, start).await.unwrap()
}

#[test]
fn e16_no_schedule_gives_out_a_host_older_than_an_acknowledged_change() {
    schedules(async || {
        let truth = Truth::new();
        let said = |way| match way {
            0 => Invalidation::Tenant(tenant()),
            _ => Invalidation::All,
        };
        let mut tasks = vec![
            change(&truth, said(one_of(2))),
            change(&truth, said(one_of(2))),
        ];
        for _ in 0..2 {
            let truth = Arc::clone(&truth);
            tasks.push(spawn(async move {
                let query = Arc::from("SELECT");
                for _ in 0..2 {
                    let ask = tenant_of_host(&truth, &query);
                    truth.check(ask, fits).await;
                }
            }));
        }
        all(tasks).await;
        let query = Arc::from("SELECT");
        truth.check(tenant_of_host(&truth, &query), fits).await;
    });
}
