//! placeholder
use crate::model::account::AccountName;
use crate::model::endpoint::EndpointName;
/// a
#[derive(Clone, Copy)]
pub enum Action {
    /// p
    Place,
}
impl Action {
    /// n
    pub fn name(self) -> &'static str {
        "place"
    }
}
/// r
pub struct Request {
    /// a
    pub principal: AccountName,
    /// a
    pub action: Action,
    /// a
    pub resource: String,
    /// a
    pub endpoint: Option<EndpointName>,
}
/// d
pub struct Decision {
    /// p
    pub policies: Vec<&'static str>,
}
impl Decision {
    /// a
    pub fn is_allowed(&self) -> bool {
        true
    }
}
/// d
pub fn decide(_: &Request) -> Decision {
    Decision { policies: vec![] }
}
