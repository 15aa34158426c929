//! The end of every fault. In: a stack in any state; out: one that runs.

use super::Stack;
use crate::error::StackError;
use crate::proxy::Fault;

impl Stack {
    /// Ends every fault: connections pass, who is frozen goes on, who is dead starts again, all of
    /// them side by side, because the nodes of a cluster need each other to become ready.
    pub async fn mend(&self) -> Result<(), StackError> {
        for proxy in self.broker_proxies.iter().chain(&self.database_proxy) {
            proxy.set(Fault::None);
        }
        let ours = || {
            let parts = self.brokers.iter().chain([&self.database]);
            parts.filter(|part| part.is_ours())
        };
        for part in ours() {
            match part.is_running() {
                true => part.thaw()?,
                false => part.launch()?,
            }
        }
        for part in ours() {
            part.ready().await?;
        }
        Ok(())
    }
}
