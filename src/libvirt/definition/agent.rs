//! What the XML of a domain that runs says of its guest.

use super::described::{DescribeError, attribute, child, children, parse};
use roxmltree::Node;

/// By which channel QEMU's guest agent speaks.
const CHANNEL: &str = "org.qemu.guest_agent.0";

/// The way to the agent in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// There is none.
    None,
    /// In the guest nobody has opened it.
    Closed,
    /// Somebody has.
    Open,
}

/// The way to the agent, and which operating system the definition names.
pub fn way_to_agent(xml: &str) -> Result<(Way, Option<String>), DescribeError> {
    let document = parse(xml)?;
    let domain = document.root_element();
    let channels = child(domain, "devices").into_iter().flat_map(|devices| children(devices, "channel"));
    let target = channels
        .filter_map(|channel| child(channel, "target"))
        .find(|target| target.attribute("type") == Some("virtio") && target.attribute("name") == Some(CHANNEL));
    let way = match target.map(|target| target.attribute("state")) {
        None => Way::None,
        Some(Some("disconnected")) => Way::Closed,
        // A daemon that does not know whether it is open tells no state.
        Some(_) => Way::Open,
    };
    Ok((way, system(domain)))
}

/// The operating system that whoever made the domain has named in libosinfo's way, such as `http://debian.org/debian/12`.
fn system(domain: Node<'_, '_>) -> Option<String> {
    let metadata = child(domain, "metadata")?;
    let named = |node: Node<'_, '_>| node.tag_name().name() == "os" && is_libosinfo(node);
    let address = metadata.descendants().find(|node| named(*node)).and_then(|os| attribute(os, "id"))?;
    let path = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    // The first part is whose it is.
    let name = if parts.len() > 1 { parts[1..].join(" ") } else { parts.join(" ") };
    Some(name).filter(|name| !name.is_empty())
}

fn is_libosinfo(node: Node<'_, '_>) -> bool {
    node.tag_name().namespace().is_some_and(|namespace| namespace.starts_with("http://libosinfo.org/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(metadata: &str, channel: &str) -> String {
        format!("<domain type='kvm'><name>a</name><metadata>{metadata}</metadata><devices>{channel}</devices></domain>")
    }

    #[test]
    fn the_way_to_an_agent_is_open_once_somebody_in_the_guest_has_opened_it() {
        let way = |channel: &str| way_to_agent(&domain("", channel)).unwrap().0;
        let agent = |state: &str| {
            format!("<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'{state}/></channel>")
        };
        assert_eq!(way(""), Way::None);
        assert_eq!(
            way("<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>"),
            Way::None
        );
        assert_eq!(way(&agent(" state='disconnected'")), Way::Closed);
        assert_eq!(way(&agent(" state='connected'")), Way::Open);
        assert_eq!(way(&agent("")), Way::Open);
    }

    #[test]
    fn a_definition_may_name_its_operating_system() {
        let system = |id: &str| {
            let info = format!(
                "<libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>\
                 <libosinfo:os id='{id}'/></libosinfo:libosinfo>"
            );
            way_to_agent(&domain(&info, "")).unwrap().1
        };
        assert_eq!(system("http://debian.org/debian/12").as_deref(), Some("debian 12"));
        assert_eq!(system("http://microsoft.com/win/2k22").as_deref(), Some("win 2k22"));
        assert_eq!(system("plain").as_deref(), Some("plain"));
        assert_eq!(system(""), None);
        assert_eq!(way_to_agent(&domain("<os id='http://debian.org/debian/12'/>", "")).unwrap().1, None);
        assert!(way_to_agent("no xml").is_err());
    }
}
