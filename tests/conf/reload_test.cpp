#include "conf/reload.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace turnout::conf {
namespace {

Config config_of(const std::vector<std::pair<std::string, Protocol>>& deployments) {
  Config config;
  config.file = "turnout.yaml";
  for (const auto& [name, protocol] : deployments) {
    Deployment deployment;
    deployment.name = name;
    deployment.protocol = protocol;
    config.deployments.push_back(deployment);
  }
  return config;
}

TEST(Reload, WhatAProcessIsBuiltAroundStays) {
  constexpr Protocol pg = Protocol::postgres, my = Protocol::mysql;
  const Config running = config_of({{"app", pg}, {"shop", my}});
  EXPECT_EQ(refused_by_reload(running, running), "");
  Config limits = running;
  limits.deployments[0].pool.size = 7;
  EXPECT_EQ(refused_by_reload(running, limits), "");
  constexpr const char* other_names =
      "turnout.yaml: deployments cannot be added, removed or reordered by a reload; restart for that";
  EXPECT_EQ(refused_by_reload(running, config_of({{"app", pg}})), other_names);
  EXPECT_EQ(refused_by_reload(running, config_of({{"shop", my}, {"app", pg}})), other_names);
  EXPECT_EQ(refused_by_reload(running, config_of({{"app", pg}, {"shop", my}, {"new", pg}})), other_names);
  EXPECT_EQ(refused_by_reload(running, config_of({{"app", my}, {"shop", my}})),
            "turnout.yaml: deployments.app.protocol: cannot be changed from postgres to mysql by a reload; restart for "
            "that");
  EXPECT_EQ(refused_by_reload(running, config_of({{"app", my}, {"shop", pg}})),
            "turnout.yaml: deployments.app.protocol: cannot be changed from postgres to mysql by a reload; restart for "
            "that\n"
            "turnout.yaml: deployments.shop.protocol: cannot be changed from mysql to postgres by a reload; restart "
            "for that");
}

}  // namespace
}  // namespace turnout::conf
