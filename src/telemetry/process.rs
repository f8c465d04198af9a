//! What the operating system knows of this process, under the names that every dashboard knows.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use rustix::time::{ClockId, clock_gettime};

/// Adds what is known now.
pub(super) fn register(all: &mut Registry) {
    all.register_collector(Box::new(Process));
}

#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let cpu = ConstCounter::new(cpu_seconds());
        let help = "Processor time that the process has used.";
        let metric = encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), cpu.metric_type())?;
        cpu.encode(metric)?;
        if let Some(bytes) = resident_bytes() {
            let resident = ConstGauge::new(bytes);
            let (help, unit) = ("Memory that the process holds.", Some(&Unit::Bytes));
            let metric = encoder.encode_descriptor("process_resident_memory", help, unit, resident.metric_type())?;
            resident.encode(metric)?;
        }
        if let Some(count) = open_files() {
            let open = ConstGauge::new(count);
            let help = "Files and connections that the process has open.";
            let metric = encoder.encode_descriptor("process_open_fds", help, None, open.metric_type())?;
            open.encode(metric)?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a fraction of a second is shown")]
fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// Nothing where the system has no such file.
fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn open_files() -> Option<i64> {
    // Reading the directory opens one more.
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok().map(|count| count - 1)
}
