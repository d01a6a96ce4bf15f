//! `/cluster/members`: the group of JobManagers. Millrace's own.

use axum::Json;
use axum::extract::{Path, State};
use millrace_jobmanager::{Group, MemberAddresses, MemberRole};
use millrace_rest_api::{Empty, GroupInfo, MemberInfo, NewAddresses, NewMember};

use crate::body::Body;
use crate::error::RestError;
use crate::path::path_parameter;
use crate::savepoints::Answer;
use crate::server::RestState;

/// `GET /cluster/members`.
pub(crate) async fn status(State(state): State<RestState>) -> Json<GroupInfo> {
    Json(group_info(&state.dispatcher.group()))
}

/// The group as this process sees it, whether it leads or not.
pub(crate) fn group_info(group: &Group) -> GroupInfo {
    let status = group.status();
    let members = status.members.into_iter().map(|member| MemberInfo {
        id: member.id,
        rpc: member.addresses.rpc,
        rest: member.addresses.rest,
        role: match member.role {
            MemberRole::Leader => "leader",
            MemberRole::Voter => "voter",
            MemberRole::Learner => "learner",
        }
        .to_owned(),
        lag: member.lag,
        last_answer_ms: member.last_answer.map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)),
        reachable: member.reachable,
    });
    GroupInfo {
        answered_by: status.member,
        leader: status.leader,
        term: status.term,
        last_log_index: status.last_log_index,
        applied_index: status.applied_index,
        members: members.collect(),
    }
}

/// `POST /cluster/members`.
pub(crate) async fn add(State(state): State<RestState>, Body(member): Body<NewMember>) -> Answer<Empty> {
    if member.id == 0 {
        return Err(RestError::bad_request("ids of members begin with 1"));
    }
    state.dispatcher.group().add(member.id, addresses(member.rpc, member.rest)?).await?;
    Ok(Json(Empty {}))
}

/// `PUT /cluster/members/:id`.
pub(crate) async fn readdress(
    State(state): State<RestState>,
    Path(id): Path<String>,
    Body(stated): Body<NewAddresses>,
) -> Answer<Empty> {
    let id = path_parameter("id", &id)?;
    state.dispatcher.group().readdress(id, addresses(stated.rpc, stated.rest)?).await?;
    Ok(Json(Empty {}))
}

/// `DELETE /cluster/members/:id`.
pub(crate) async fn remove(State(state): State<RestState>, Path(id): Path<String>) -> Answer<Empty> {
    state.dispatcher.group().remove(path_parameter("id", &id)?).await?;
    Ok(Json(Empty {}))
}

fn addresses(rpc: String, rest: String) -> Result<MemberAddresses, RestError> {
    for address in [&rpc, &rest] {
        let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) {
            return Err(RestError::bad_request(format!("\"{address}\" is no address: write HOST:PORT")));
        }
    }
    Ok(MemberAddresses { rpc, rest })
}
