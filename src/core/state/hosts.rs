impl super::ClusterState {}
